"""Hostile HTTP: requests that mean two things, clients that are many, slow or dead, names that are markup; the record goes on."""

import contextlib
import fcntl
import itertools
import json
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from face import FaceTest  # noqa: E402
from scidextest import IN_VM, MIB, deadline, eventually, needs_user, skip  # noqa: E402

HOST = b"Host: localhost\r\n"
CONNECTIONS_MAX = 512
STREAMS_MAX = 256
PYTHON = "/usr/bin/python3"  # that other users can start, too


def skip_emulated():
    """Much work, and nothing in it is about the kernel: once, on the host, is enough."""
    if IN_VM:
        skip("emulated, it would take minutes")


def statuses(answer):
    """Of each answer in the bytes that came back."""
    return [int(part.split(None, 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


class Requests(FaceTest):
    def assert_one_refusal(self, data, status=400):
        answer = self.face.raw(data)
        found = statuses(answer)
        # Never an answer to what stands behind it. (The library says some of its refusals twice.)
        self.assertTrue(found)
        for one in found:
            self.assertIn(one, (status, 400, 405, 413), (data[:200], answer[:300]))
        self.assertEqual(answer.count(b"\r\nConnection: close\r\n"), len(found), answer[:300])

    def test_a_request_in_a_request_is_not_answered(self):
        self.begin()
        hidden = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
        for headers, body in (
            (b"Content-Length: %d\r\n" % len(hidden), hidden),
            (b"Transfer-Encoding: chunked\r\n", chunk),
            (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", chunk),
            (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunk),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunk),
            (b"Transfer-Encoding : chunked\r\n", chunk),
            (b"Transfer-Encoding: xchunked\r\n", hidden),
            (b"Transfer-Encoding:\tchunked\r\n", chunk),
            (b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(hidden), hidden),
            (b"Content-Length: %d\r\nContent-Length: 0\r\n" % len(hidden), hidden),
            (b"Content-Length: 0, %d\r\n" % len(hidden), hidden),
            (b"Content-Length: +%d\r\n" % len(hidden), hidden),
            (b"Content-Length: -1\r\n", hidden),
            (b"Content-Length: 99999999999999999999\r\n", hidden),
            (b"Content-Length: 0x10\r\n", hidden),
        ):
            for method in (b"GET", b"POST", b"HEAD"):
                self.assert_one_refusal(method + b" /api/runs HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body)
        self.assertEqual(self.face.get("/healthz").status, 200)

    def test_two_hosts_are_none(self):
        self.begin()
        for hosts in (b"Host: localhost\r\nHost: evil.example\r\n", b"Host: evil.example\r\nHost: localhost\r\n", b"Host: localhost\r\nhOST: localhost\r\n", b"", b"Host: localhost, evil.example\r\n", b"Host: localhost evil\r\n"):
            answer = self.face.raw(b"GET /api/runs HTTP/1.1\r\n" + hosts + b"\r\n")
            self.assertTrue(set(statuses(answer)) <= {400, 421}, (hosts, answer[:200]))

    def test_a_target_that_is_no_path_is_refused(self):
        self.begin()
        for target in (b"http://evil.example/api/runs", b"//evil.example/api/runs", b"*", b"api/runs", b"/../../etc/passwd", b"/api/../../etc/passwd",
                       b"/schema/..%2f..%2fetc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/api/runs/%00", b"/\xff\xfe", b"/api/runs%0d%0aSet-Cookie:x",
                       b"/api\\..\\runs", b"/api/runs;x", b"/api/runs#x"):  # fmt: skip
            answer = self.face.raw(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            self.assertTrue(set(statuses(answer)) <= {400, 404}, (target, answer[:200]))
            self.assertNotIn(b"root:", answer)
            self.assertNotIn(b"\nSet-Cookie", answer)

    def test_bytes_that_are_no_request_end_the_connection(self):
        """At once, or, where more could still come, after the time that a request has."""
        face = self.begin()
        left = set()
        for data in (b"\0" * 5000, b"\xff" * 5000, b"\r\n" * 5000, b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n", b"G" * 100000, b"GET /healthz HTTP/1.1\r\n" + HOST + b": novalue\r\nConnection: close\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b""):  # fmt: skip
            connection = self.enterContext(socket.create_connection(("127.0.0.1", face.port), timeout=deadline(20)))
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            left.add(connection)
        end = time.monotonic() + deadline(60)
        while left and time.monotonic() < end:
            for connection in select.select(list(left), [], [], 1)[0]:
                with contextlib.suppress(ConnectionError):
                    if connection.recv(65536):
                        continue
                left.discard(connection)
        self.assertFalse(left)
        self.assertEqual(face.get("/healthz").status, 200)

    def test_headers_without_end_are_refused(self):
        face = self.begin()
        face.get("/api/quests/status")
        before = face.resident_bytes()
        for data in (b"X: " + b"a" * MIB + b"\r\n\r\n", b"".join(b"X-%d: y\r\n" % n for n in range(20000)) + b"\r\n", b"A" * MIB):
            with contextlib.suppress(ConnectionError):
                answer = face.raw(b"GET /healthz HTTP/1.1\r\n" + HOST + data)
                self.assertTrue(set(statuses(answer)) <= {400, 413, 414, 431}, answer[:200])
        self.assertEqual(face.get("/healthz").status, 200)
        self.assert_grown(before, 8 * MIB)

    def test_many_requests_at_once_on_one_connection_are_answered_in_order(self):
        face = self.begin()
        one = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        answer = face.raw(one * 200 + b"GET /nothing HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        self.assertEqual(statuses(answer), [200] * 200 + [404])


class Clients(FaceTest):
    """Whatever they do, a kill is stored at once and others are answered."""

    def assert_works(self, seconds=20):
        face = self.face
        begun = time.monotonic()
        event = face.event(reason="memory")
        face.settle()
        self.assertEqual(face.get_local("/api/events?limit=1").json()["events"][0]["event_id"], event["event_id"])
        self.assertEqual(face.get("/healthz").status, 200)
        self.assertLess(time.monotonic() - begun, deadline(seconds))

    def connections(self, number, receive_bytes=None):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        sockets = []
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            if receive_bytes:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", self.face.port))
            sockets.append(connection)
        return sockets

    def test_a_thousand_connections_that_say_nothing(self):
        face = self.begin()
        face.get("/api/quests/status")
        files = face.open_files()
        self.connections(1000)
        eventually(lambda: face.open_files() > files + 100)
        self.assert_works()
        self.assertLessEqual(face.open_files(), files + CONNECTIONS_MAX + 1)

    def test_a_thousand_connections_leave_room_for_admins(self):
        face = self.begin()
        self.connections(1000)
        eventually(lambda: face.open_files() > 400)
        for _ in range(20):
            self.assertEqual(face.get_local("/healthz").status, 200)

    def test_where_no_descriptor_is_left_it_waits_for_one(self):
        face = self.begin()
        face.get("/api/quests/status")
        resource.prlimit(face.process.pid, resource.RLIMIT_NOFILE, (face.open_files() + 10, 1024))
        sockets = self.connections(60)
        eventually(lambda: face.open_files() >= resource.prlimit(face.process.pid, resource.RLIMIT_NOFILE)[0])
        begun, used = time.monotonic(), face.cpu_seconds()
        select.select([], [], [], 2)
        self.assertLess((face.cpu_seconds() - used) / (time.monotonic() - begun), 0.1)
        for connection in sockets:
            connection.close()
        self.assert_works()

    def test_who_says_a_byte_now_and_then_is_ended(self):
        """The library's own time-out begins anew with each byte; ours does not."""
        face = self.begin()
        sockets = self.connections(20)
        for connection in sockets:
            select.select([], [connection], [], deadline(5))
            connection.send(b"GET /healthz HTTP/1.1\r\nX-")
        left = set(sockets)
        end = time.monotonic() + deadline(15)
        while left and time.monotonic() < end:
            # A drop each half second, until the server has had enough of it.
            readable, _, _ = select.select(list(left), [], [], 0.5)
            left -= set(readable)
            for connection in left:
                with contextlib.suppress(OSError):
                    connection.send(b"a")
        self.assertEqual(len(left), 0, "still served")
        self.assert_works()

    def test_who_does_not_read_costs_little(self):
        skip_emulated()
        face = self.begin()
        for n in range(300):
            face.alive(analysis_id="x" * 200)
        face.settle()
        eventually(lambda: face.get("/api/runs?limit=1").json()["count"] == 300)
        before = face.resident_bytes()
        for connection in self.connections(200):
            select.select([], [connection], [], deadline(5))
            connection.send(b"".join(b"GET /api/runs?limit=1000 HTTP/1.1\r\n" + HOST + b"\r\n" for _ in range(5)))
        self.assert_works()
        self.assert_grown(before, 40 * MIB)

    def test_answers_that_nobody_reads_have_an_end_together(self):
        """Each asks for a large document of its own, and reads nothing of it."""
        skip_emulated()
        face = self.begin()
        for n in range(1000):
            face.alive(analysis_id="x" * 200)
        face.settle()
        eventually(lambda: face.get("/api/runs?limit=1").json()["count"] == 1000)
        before = face.resident_bytes()
        for n, connection in enumerate(self.connections(120)):
            select.select([], [connection], [], deadline(5))
            connection.send(b"GET /api/runs?limit=%d HTTP/1.1\r\n" % (1000 - n) + HOST + b"\r\n")
        for n in range(40):
            # The first has its turn after all of them: their documents are made with a quarter of a processor.
            self.assert_works(100 if n == 0 else 20)
            self.assert_grown(before, 80 * MIB)
        answer = face.get("/api/runs?limit=999")
        self.assertIn(answer.status, (200, 503))

    def test_dead_clients_of_the_stream_are_noticed(self):
        face = self.begin()
        face.get("/api/quests/status")
        files = face.open_files()
        for _ in range(3):
            clients = [face.messages() for _ in range(50)]
            for client in clients:
                client.close()
        eventually(lambda: face.open_files() <= files, 20)
        self.assert_works()

    def test_clients_of_the_stream_have_an_end_of_their_own(self):
        face = self.begin()
        clients = [self.enterContext(face.messages()) for _ in range(STREAMS_MAX)]
        with self.assertRaises(ConnectionError), face.messages() as more:
            self.assertIn(b"503", more.head)
            more.next()
        self.assert_works()
        clients[0].until("snapshot")
        for client in clients:
            client.close()
        eventually(lambda: self.joins(face), 20)

    def joins(self, face):
        with face.messages() as client:
            return b" 200 " in client.head

    def test_a_client_of_the_stream_that_does_not_read_gets_a_snapshot_when_it_does(self):
        skip_emulated()
        face = self.begin()
        with face.messages(receive_bytes=4096) as slow, face.messages() as quick:
            slow.until("snapshot")
            before = face.resident_bytes()
            quick.until("snapshot")
            for _ in range(60):
                for _ in range(50):
                    last = face.event(reason="memory", analysis_id="y" * 255)
                face.settle()
                quick.until("event", lambda data: data["event"]["event_id"] == last["event_id"])
            self.assert_grown(before, 16 * MIB)
            # It has lost its place meanwhile: the next snapshot has the newest events, or it is ended and joins again.
            with contextlib.suppress(ConnectionError):
                slow.until("snapshot", lambda data: data["watchdog"]["recent_events"][0]["event_id"] == last["event_id"])
        self.assert_works()

    def fill(self):
        """All places over TCP, and more in the backlog, by clients that have asked for much and read nothing."""
        skip_emulated()
        face = self.begin()
        for n in range(100):
            face.alive(analysis_id="x" * 200)
        face.settle()
        eventually(lambda: face.get("/api/runs?limit=1").json()["count"] == 100)
        for connection in self.connections(448, receive_bytes=2048):
            select.select([], [connection], [], deadline(5))
            connection.send(b"".join(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n" for _ in range(20)))
            select.select([connection], [], [], deadline(5))
        self.connections(100)
        return face

    def test_a_full_house_leaves_room_for_admins(self):
        face = self.fill()
        for _ in range(20):
            self.assertEqual(face.get_local("/healthz").status, 200)

    def has_its_place(self, connection):
        """Whether it was answered and is still open; reads all of the answer."""
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except BlockingIOError:
            return statuses(answer) == [200]
        except ConnectionError:
            pass
        return False

    def test_nobody_is_sent_away_for_nobody(self):
        """A full house of those that have nothing to say just now: who asks over the Unix socket costs none of them their place."""
        skip_emulated()
        face = self.begin()
        sockets = self.connections(448)
        for connection in sockets:
            select.select([], [connection], [], deadline(5))
            connection.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            select.select([connection], [], [], deadline(5))
        select.select([], [], [], 1.5)
        for _ in range(20):
            face.get_local("/healthz")
        self.assertEqual([n for n, connection in enumerate(sockets) if not self.has_its_place(connection)], [])

    def test_a_full_house_costs_nothing(self):
        """Whoever waits at the door wakes nobody until there is room."""
        face = self.fill()
        face.get_local("/healthz")
        begun, used = time.monotonic(), face.cpu_seconds()
        while time.monotonic() - begun < 3:
            face.get_local("/healthz")
            time.sleep(0.1)
        self.assertLess((face.cpu_seconds() - used) / (time.monotonic() - begun), 0.3)

    def test_who_keeps_it_busy_keeps_nobody_out(self):
        skip_emulated()
        face = self.begin()
        for n in range(500):
            face.alive()
        face.settle()
        stop = threading.Event()

        def ask_for_ever(connection):
            """Always more asked than answered, and each time for another document."""
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                for n in itertools.count():
                    if stop.is_set():
                        return
                    readable, writable, _ = select.select([connection], [connection], [], 1)
                    if readable:
                        connection.recv(MIB)
                    if writable:
                        connection.send(b"GET /api/runs?limit=%d HTTP/1.1\r\n" % (900 - n % 900) + HOST + b"\r\n")

        threads = [threading.Thread(target=ask_for_ever, args=(connection,)) for connection in self.connections(16)]
        used = face.cpu_seconds()
        try:
            for thread in threads:
                thread.start()
            eventually(lambda: face.cpu_seconds() > used + 0.2, 20)
            for _ in range(10):
                self.assertEqual(face.get_local("/healthz").status, 200)
                self.assertEqual(face.get("/healthz").status, 200)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_many_who_ask_for_a_list_at_once_are_all_answered(self):
        """Some of them find the list that another one has had made."""
        skip_emulated()
        face = self.begin()
        for n in range(300):
            face.alive()
        face.settle()
        left = self.connections(200)
        for n, connection in enumerate(left):
            select.select([], [connection], [], deadline(5))
            connection.send(b"GET /api/runs?limit=%d HTTP/1.0\r\n\r\n" % (1000 - n % 20))
        for connection in left:
            connection.setblocking(True)
            connection.settimeout(deadline(100))
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200"))
        self.assert_works()

    def test_who_says_much_and_reads_nothing_is_soon_stopped(self):
        """What lies unread in the kernel is counted as the unit's memory, and there are hundreds of connections."""
        face = self.begin()
        for _ in range(100):
            face.alive(analysis_id="x" * 200)
        face.settle()
        connection = self.connections(1, receive_bytes=2048)[0]
        select.select([], [connection], [], deadline(5))
        sent = connection.send((b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 20)
        select.select([connection], [], [], deadline(5))
        while select.select([], [connection], [], 1)[1]:
            sent += connection.send(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 9000 + b"\r\n\r\n")
        unsent = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]
        self.assertLess(sent - unsent, 96 << 10)

    def test_a_flood_is_not_handed_on_to_the_supervisor(self):
        """Which has to make the timeline of a run that lives for each question."""
        face = self.begin()
        row = face.alive()
        face.settle()
        asked = 0
        with socket.create_connection(("127.0.0.1", face.port), timeout=deadline(30)) as connection:
            connection.sendall((b"GET /api/runs/%s HTTP/1.1\r\n" % row["run_id"].encode() + HOST + b"\r\n") * 199)
            connection.sendall(b"GET /api/runs/%s HTTP/1.0\r\n\r\n" % row["run_id"].encode())
            answer, piece = b"", b" "
            while piece:
                for source in select.select([connection, face.link], [], [], deadline(30))[0]:
                    if source is connection:
                        piece = connection.recv(MIB)
                        answer += piece
                    elif json.loads(face.link.recv(1 << 17)).get("op") == "look":
                        asked += 1
                        face.link.send(json.dumps({"v": 1, "re": "look", "ok": True, "run_id": row["run_id"], "run": {**row, "warned_at": row["launched_at"]}}).encode())
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 200)
        self.assertEqual(answer.count(b'"warned_at":"'), 200)
        self.assertGreater(asked, 0)
        self.assertLess(asked, 20)

    @needs_user("nobody")
    def test_one_user_leaves_room_for_others(self):
        face = self.begin(group=65534)
        os.chmod(face.unix_path, 0o666)
        code = (
            "import socket, sys\n"
            "all = [socket.socket(socket.AF_UNIX) for _ in range(100)]\n"
            "for one in all: one.connect(sys.argv[1])\n"
            "for one in all[:64]: one.send(b'GET /api/stream HTTP/1.0\\r\\n\\r\\n'); one.recv(1)\n"
            "for one in all[64:]: one.settimeout(5); assert one.recv(1) == b''\n"
            "print('there', flush=True); sys.stdin.read()\n"
        )
        with subprocess.Popen([PYTHON, "-c", code, face.unix_path], user=65534, group=65534, extra_groups=(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            self.assertEqual(other.stdout.readline(), b"there\n")
            self.assertEqual(face.get_local("/healthz").status, 200)
            other.stdin.close()

    def test_a_client_of_the_stream_that_takes_nothing_is_ended(self):
        skip_emulated()
        face = self.begin()
        with face.messages(receive_bytes=2048) as dead, face.messages() as quick:
            dead.until("snapshot")
            quick.until("snapshot")
            files = face.open_files()
            for _ in range(40):
                for _ in range(50):
                    last = face.event(reason="memory", analysis_id="y" * 255)
                face.settle()
                quick.until("event", lambda data: data["event"]["event_id"] == last["event_id"])
            eventually(lambda: quick.next() and face.open_files() == files - 1, 60)

    def test_who_asks_without_end_gets_a_share_only(self):
        """The quota is the supervisor's, too: a flood takes a quarter of a processor where there is none."""
        skip_emulated()
        face = self.begin()
        for n in range(2000):
            face.alive()
        face.settle()
        # Each for another run that is none: small answers, looked for in many ways. More than can be answered in the time.
        sockets = self.connections(16)
        for n, connection in enumerate(sockets):
            select.select([], [connection], [], deadline(5))
            connection.setblocking(True)
            connection.sendall(b"".join(b"GET /api/runs/none-%d HTTP/1.1\r\n" % (n * 1000 + i) + HOST + b"\r\n" for i in range(1000)))
        begun, used, answered = time.monotonic(), face.cpu_seconds(), 0
        # Whoever comes now is served in turn with these: most of them still wait then, however slow the machine is.
        self.assert_works()
        for connection in select.select(sockets, [], [], 0)[0]:
            answered += len(statuses(connection.recv(MIB)))
        self.assertLess(answered, 8000)
        while time.monotonic() - begun < 3:
            for connection in select.select(sockets, [], [], 0.1)[0]:
                answered += len(statuses(connection.recv(MIB)))
        self.assertLess((face.cpu_seconds() - used) / (time.monotonic() - begun), 0.4)
        self.assertGreater(answered, 100)
        self.assert_works()


class Names(FaceTest):
    """Whatever is in an analysis id, it comes out as it went in, and breaks nothing on the way."""

    NAMES = ("<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a\r\nSet-Cookie: x=1", "data: x\n\nevent: kill", "\u202egnp.exe", "\x1b[2J\x07",
             "x" * 255, "é" * 127, "..", "/", "../../etc/passwd", "%00%0a", "a b+c&d=e#f?g", "'; DROP TABLE watchdog_runs; --", "\u0000nul"[1:], "${jndi:x}", "\ufeff", "💥" * 60)  # fmt: skip

    def test_they_come_out_as_they_went_in(self):
        face = self.begin()
        for name in self.NAMES:
            face.alive(analysis_id=name)
            face.event(analysis_id=name)
        face.settle()
        count = len(self.NAMES)
        runs = eventually(lambda: (found := face.get("/api/runs").json())["count"] == count and found)["runs"]
        self.assertEqual({run["analysis_id"] for run in runs}, set(self.NAMES))
        self.assertEqual({event["analysis_id"] for event in face.get("/api/events").json()["events"]}, set(self.NAMES))

    def test_one_message_stays_one_message(self):
        face = self.begin()
        with face.messages() as messages:
            messages.until("snapshot")
            for name in self.NAMES:
                event = face.event(analysis_id=name)
                data = messages.until("event")
                self.assertEqual((data["event"]["event_id"], data["event"]["analysis_id"]), (event["event_id"], name))

    def test_they_can_be_asked_for(self):
        import urllib.parse

        face = self.begin()
        for name in self.NAMES:
            face.alive(analysis_id=name)
        face.settle()
        for name in self.NAMES:
            answer = face.get("/api/runs?analysis_id=" + urllib.parse.quote(name, safe=""))
            clean = not any(ord(c) < 32 or ord(c) == 127 for c in name)
            self.assertEqual(answer.status, 200 if clean else 400, name)
            if clean:
                self.assertEqual([run["analysis_id"] for run in answer.json()["runs"]], [name])


if __name__ == "__main__":
    unittest.main()
