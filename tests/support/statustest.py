"""What the tests of the status over HTTP share: a world that listens, its documents, its stream, and their schemas (docs/schema)."""

import functools
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys

from scidextest import REPO, SLOW, ScidexTest, World, deadline, eventually, skip_missing

SCHEMAS = os.path.join(REPO, "docs/schema")
BASE = "https://scidex.invalid/schema/"


def free_port():
    """A port that nobody has now. Whoever takes it first keeps it: what is started says so if it came too late."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- requests


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def type(self):
        return self.headers.get_content_type()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Web:
    """One place that answers: a port of 127.0.0.1, or the path of a Unix socket. Each request is a connection."""

    def __init__(self, place):
        self.place = place

    def connect(self, timeout=20):
        if isinstance(self.place, int):
            return http.client.HTTPConnection("127.0.0.1", self.place, timeout=deadline(timeout))
        return UnixConnection(self.place, deadline(timeout))

    def ask(self, path, method="GET", headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def json(self, path):
        """The document at PATH; whatever is not one is an error."""
        answer = self.ask(path)
        if answer.status != 200 or answer.type != "application/json":
            raise AssertionError(f"{path}: {answer.status} {answer.type}: {answer.body[:1000]!r}")
        return answer.json()

    def status(self):
        return self.json("/api/quests/status")["watchdog"]

    def is_healthy(self):
        """Whether somebody answers who has heard from the supervisor."""
        try:
            return self.ask("/healthz").status == 200
        except OSError:
            return False

    def stream(self, last_event_id=None):
        return Stream(self, last_event_id)


class Message:
    def __init__(self, kind, identity, data):
        self.kind, self.id, self.data = kind, identity, json.loads(data)


class Stream:
    """/api/stream as an EventSource reads it."""

    def __init__(self, web, last_event_id=None, timeout=30):
        self.connection = web.connect(timeout)
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        self.connection.request("GET", "/api/stream", headers=headers)
        self.response = self.connection.getresponse()
        self.last_id = last_event_id
        if self.response.status != 200:
            raise AssertionError(f"the stream: {self.response.status}: {self.response.read()[:1000]!r}")

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        self.connection.close()

    def next(self, *kinds):
        """The next message (of one of these kinds)."""
        while True:
            message = self.message()
            if not kinds or message.kind in kinds:
                return message

    def message(self):
        kind, data = "message", []
        while True:
            line = self.response.readline().decode()
            if not line:
                raise ConnectionError("the stream ended")
            name, _, value = line.rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = value
            elif line.rstrip("\r\n") == "" and data:
                return Message(kind, self.last_id, "\n".join(data))


# --- schemas


@functools.cache
def schema_store():
    names = sorted(name for name in os.listdir(SCHEMAS) if name.endswith(".json"))
    store = {}
    for name in names:
        with open(os.path.join(SCHEMAS, name), encoding="utf-8") as file:
            store[BASE + name] = json.load(file)
    return store


@functools.cache
def validator(name, definition=None):
    try:
        import jsonschema
    except ImportError:
        skip_missing("python3-jsonschema is not installed")
    schema = schema_store()[BASE + name]
    if definition is not None:
        schema = {"$ref": f"{BASE}{name}#/$defs/{definition}"}
    # A base of its own: relative references lie beside it.
    resolver = jsonschema.RefResolver(BASE + "definition", schema, store=dict(schema_store()))
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def schema_errors(name, document, definition=None):
    """What of DOCUMENT is not as docs/schema/NAME (or one of its definitions) has it."""
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:500]}" for error in validator(name, definition).iter_errors(document)]


# --- worlds


class StatusWorld(World):
    """A world that is to be seen: web over TCP, socket_web over its Unix socket."""

    def __init__(self, **options):
        self.port = free_port()
        super().__init__(**options)
        self.web = Web(self.port)
        self.socket_web = Web(os.path.join(self.runtime, "http"))

    def environment(self, **extra):
        extra.setdefault("SCIDEX_HTTP_LISTEN", f"127.0.0.1:{self.port} {self.socket_web.place}")
        return super().environment(**extra)

    def start_daemon(self, *arguments, **options):
        process = super().start_daemon(*arguments, **options)
        self.wait_web()
        return process

    def wait_web(self):
        eventually(self.web.is_healthy, 15, "the status is there")


class StatusTest(ScidexTest):
    def new_world(self, **options):
        world = StatusWorld(**options)
        ScidexTest.worlds.append(world)
        if self.world is None:
            self.world = world
        return world

    def assert_schema(self, name, document, definition=None):
        errors = schema_errors(name, document, definition)
        self.assertEqual(errors, [], json.dumps(document)[:3000])
        return document


# --- many runs

# One process with many connections is many launchers: a run's process is its child, and is moved into its group.
CROWD = r"""
import json, os, resource, sys
from scidextest import Client

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
path, number, request = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
clients = []
for i in range(number):
    client = Client(path, 120)
    client.call("launch", request={**request, "analysis_id": f"crowd-{i}"})
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100000"], os.environ)
    client.call("move", pid=pid)
    client.send({"v": 1, "op": "started", "pid": pid})
    clients.append((client, pid))
print("launched", flush=True)
sys.stdin.read()
for client, pid in clients:
    os.kill(pid, 9)
for client, pid in clients:
    _, status = os.waitpid(pid, 0)
    client.send({"v": 1, "op": "exited", "status": status})
for client, pid in clients:
    while (reply := client.receive()) and reply.get("re") != "exited":
        pass
print("done", flush=True)
"""


class Crowd:
    """NUMBER runs that sleep, from one process; over when it is left. Each with the members of REQUEST."""

    def __init__(self, world, number, **request):
        self.world, self.number = world, number
        request = {"memory_bytes": 1 << 30, "timeout_usec": 3600 * 1000000, "grace_usec": 10000000, **request}
        self.command = [sys.executable, "-c", CROWD, world.socket, str(number), json.dumps(request)]

    def __enter__(self):
        environment = self.world.environment(PYTHONPATH=os.path.dirname(os.path.abspath(__file__)), SCIDEX_TEST=None, SCIDEX_CROWD=secrets.token_hex(4))
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.expect("launched")
        return self

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise AssertionError(f"the crowd said {line!r}, not {word!r}: {self.world.logs()[-2000:]}")

    def __exit__(self, kind, value, traceback):
        try:
            if kind is None:
                self.process.stdin.close()
                self.expect("done")
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def scale(number):
    """NUMBER natively; fewer where each takes 40 times as long."""
    return number // SLOW if SLOW > 1 else number
