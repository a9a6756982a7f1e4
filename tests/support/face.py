"""The recorder alone, with us for its supervisor, as it is seen over HTTP: a TCP socket, a Unix socket, raw bytes, and the stream."""

import contextlib
import errno
import http.client
import json
import os
import shutil
import socket
import tempfile

import scidextest
from feeder import Feeder
from postgresserver import WAIT
from scidextest import ScidexTest, deadline
from statustest import UnixConnection


class Answer:
    """.status .headers (lower-case names) .body (bytes) .json()"""

    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def json(self):
        return json.loads(self.body)


def ask(connection, path, method="GET", **headers):
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(connection.getresponse())


class Messages:
    """A client of the stream: (event, id, data) one after the other."""

    def __init__(self, port, last_event_id=None, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(deadline(WAIT))
        self.socket.connect(("127.0.0.1", port))
        more = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        # HTTP/1.0: no chunks.
        self.socket.sendall(f"GET /api/stream HTTP/1.0\r\nHost: localhost\r\n{more}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            if not line:
                raise ConnectionError(f"no answer: {self.head!r}")
            self.head += line

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def next(self):
        """The next message that has data."""
        event, identity, data = None, None, None
        while True:
            line = self.file.readline().decode()
            if not line:
                raise ConnectionError("the stream ended")
            line = line.rstrip("\n")
            if not line and data is not None:
                return event, identity, json.loads(data)
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                identity = value
            elif name == "data":
                data = value

    def until(self, event, condition=lambda data: True):
        """The data of the next message of that name that the condition holds for."""
        while True:
            name, _, data = self.next()
            if name == event and condition(data):
                return data


class Face(Feeder):
    """HOSTS: names that are accepted too. HIDES: analysis ids are not shown over TCP. GROUP: whose members may ask over the Unix socket."""

    def __init__(self, directory, hosts=(), hides=False, group=None, **environment):
        super().__init__(directory, **environment)
        self.hosts, self.hides, self.group = hosts, hides, group
        self.tcp = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.tcp.getsockname()[1]
        self.unix_path = os.path.join(directory, "http")
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.unix_path)
        self.unix.listen(128)
        for listener in (self.tcp, self.unix):
            listener.setblocking(False)

    def more(self):
        fds = (self.tcp.fileno(), self.unix.fileno())
        arguments = [text for fd in fds for text in ("--http-fd", str(fd))]
        for host in self.hosts:
            arguments += ["--http-host", host]
        if self.hides:
            arguments.append("--http-hide-analysis-ids")
        if self.group is not None:
            arguments += ["--group", str(self.group), "--group-name", "scidex-test"]
        return arguments, fds

    def remove(self):
        super().remove()
        self.tcp.close()
        self.unix.close()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=deadline(WAIT))

    def get(self, path, method="GET", **headers):
        """One request on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, path, method, **headers)

    def get_local(self, path, **headers):
        with contextlib.closing(UnixConnection(self.unix_path, deadline(WAIT))) as connection:
            return ask(connection, path, **headers)

    def raw(self, data, timeout=WAIT):
        """What comes back for these bytes until the server ends the connection, or has nothing more to say for a while."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=deadline(timeout)) as connection:
            connection.sendall(data)
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:  # reset meanwhile; what came before that is still to be read
                    raise
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer

    def messages(self, last_event_id=None, **options):
        return Messages(self.port, last_event_id, **options)

    def cpu_seconds(self):
        fields = scidextest.read_text(f"/proc/{self.process.pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_bytes(self):
        return int(scidextest.read_text(f"/proc/{self.process.pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class FaceTest(ScidexTest):
    """self.face: one that runs, made by the first use of begin()."""

    def begin(self, **options):
        directory = tempfile.mkdtemp(prefix="sx-", dir="/tmp")
        self.addCleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        os.chmod(directory, 0o755)
        self.face = Face(directory, **options)
        self.addCleanup(self.end, self.face)
        self.face.start()
        return self.face

    def end(self, face):
        """It ends as it should, whoever is connected, and (where it is sanitized) without a leak."""
        try:
            status = face.stop()
            self.assertIn(status, (0, None), face.log()[-3000:])
        finally:
            face.remove()

    def assert_grown(self, before, most):
        """It holds less than that many bytes more than before; a sanitized program keeps what it has freed."""
        if "ASAN_OPTIONS" not in os.environ:
            self.assertLess(self.face.resident_bytes() - before, most)

    def assert_problem(self, answer, status):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        problem = answer.json()
        self.assertEqual(set(problem), {"type", "title", "status", "detail", "hint"})
        self.assertEqual(problem["status"], status)
        return problem
