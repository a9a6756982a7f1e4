"""The recorder alone, fed with rows of any content, and waiting until it has shipped them."""

import contextlib
import datetime
import json
import os
import secrets
import socket
import sqlite3
import subprocess
import time
import uuid

import scidextest
from postgresserver import WAIT, clean_environment
from scidextest import deadline, eventually, program, read_text


def last_words(logs):
    """Without what is said of each run."""
    return "\n".join(line for line in logs().splitlines() if not line.startswith("scidex-supervisor: ["))[-3000:]


def wait_state(recorder, logs, states, timeout=WAIT):
    """Until the recorder says one of STATES of its server: its `postgres` object."""
    try:
        eventually(lambda: recorder.postgres().get("state") in states, timeout, every=0.05)
    except AssertionError:
        raise AssertionError(f"never {' or '.join(states)}: {recorder.postgres()}\n{last_words(logs)}") from None
    return recorder.postgres()


def wait_shipped(recorder, logs, timeout=WAIT):
    """Until nothing waits for the server."""

    def done():
        found = recorder.postgres()
        return found.get("state") == "ok" and found.get("waiting") == 0

    try:
        eventually(done, timeout, every=0.05)
    except AssertionError:
        raise AssertionError(f"not shipped: {recorder.postgres()}\n{last_words(logs)}") from None
    return recorder.postgres()


def as_host(name):
    """For start_daemon(prefix=): on a host of that name (a UTS namespace; root only)."""
    return ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name)


class Feeder:
    """The recorder alone, with us for its supervisor: rows of any content, as many as it takes, no run needed.

    At most 32 rows are on the wire, as a supervisor has it. HOST: as in as_host(). ENVIRONMENT: more for the recorder.
    """

    WINDOW = 32

    def __init__(self, directory, conninfo=None, host=None, **environment):
        self.directory, self.conninfo, self.environment = directory, conninfo, environment
        self.prefix = as_host(host) if host else ()
        self.host = host or os.uname().nodename
        self.boot_id = read_text("/proc/sys/kernel/random/boot_id").strip()
        self.socket_path = os.path.join(directory, "record")
        self.process = self.link = None
        self.n, self.waiting, self.refused = 0, [], []

    def more(self):
        """Further arguments of the recorder, and the fds that it gets for them."""
        return (), ()

    def start(self):
        more, fds = self.more()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket_path)
        listener.bind(self.socket_path)
        listener.listen(16)
        listener.setblocking(False)
        environment = clean_environment(**self.environment, **({"SCIDEX_STORAGE_POSTGRES": self.conninfo} if self.conninfo else {}))
        with open(os.path.join(self.directory, "recorder.log"), "ab") as log, theirs, listener:
            self.process = subprocess.Popen(
                [*self.prefix, program("scidex-recorder"), "--supervisor-fd", str(theirs.fileno()), "--listen-fd", str(listener.fileno()),
                 "--directory", os.path.join(self.directory, "spool"), *more],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs.fileno(), listener.fileno(), *fds),
            )  # fmt: skip
        scidextest.OTHERS.add(self.process.pid)
        self.link = ours
        self.link.settimeout(deadline(WAIT))
        # What the last recorder did not acknowledge, this one gets.
        for packet in self.waiting:
            self.link.send(json.dumps(packet).encode())
        return self

    def stop(self, kill=False):
        """Hangs up, as a supervisor that ends; or kills it."""
        if self.process is None:
            return None
        if kill:
            self.process.kill()
        else:
            self.settle()
        self.link.close()
        status = self.process.wait(deadline(WAIT))
        scidextest.OTHERS.discard(self.process.pid)
        self.process = None
        return status

    def remove(self):
        self.stop(kill=True)

    def send(self, op, **members):
        self.n += 1
        packet = {"v": 1, "op": op, "n": self.n, **members}
        self.waiting.append(packet)
        self.link.send(json.dumps(packet).encode())
        while len(self.waiting) >= self.WINDOW:
            self.receive()

    def settle(self):
        """Until all that was sent is acknowledged."""
        while self.waiting:
            self.receive()

    def receive(self):
        data = self.link.recv(1 << 17)
        if not data:
            raise ConnectionError(f"the recorder ended: {self.log()[-2000:]}")
        packet = json.loads(data)
        if "n" not in packet:
            return
        if not packet.get("ok"):
            self.refused.append(packet)
        self.waiting = [other for other in self.waiting if other["n"] != packet["n"]]

    def log(self):
        return read_text(os.path.join(self.directory, "recorder.log"), "")

    def client(self):
        return scidextest.Client(self.socket_path)

    def postgres(self):
        with self.client() as client:
            return client.call("storage")["storage"].get("postgres") or {}

    def wait_shipped(self, timeout=WAIT):
        return wait_shipped(self, self.log, timeout)

    def wait_state(self, *states):
        return wait_state(self, self.log, states)

    def sql(self, statement, *values):
        """On the record itself: rows, or a change (then best while no recorder runs)."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.directory, "spool", "spool.sqlite"), timeout=deadline(20))) as connection:
            rows = connection.execute(statement, values).fetchall()
            connection.commit()
            return rows

    # Rows as a supervisor makes them

    def run_row(self, **members):
        now = timestamp()
        row = {
            "run_id": uuid7(), "analysis_id": None, "host": self.host, "boot_id": self.boot_id, "uid": 0, "pid": 4711, "comm": "sleep",
            "cmdline": "sleep 1000", "cmdline_length": 10, "launcher_pid": 4710, "state": "ended", "verdict": "timeout", "detail": None,
            "launched_at": now, "deadline_at": now, "ended_at": now, "duration_sec": 0.1, "exit_signal": "TERM", "timeout_sec": 0.1,
            "memory_limit_bytes": 1 << 31, "memory_peak_bytes": 110592, "enforcement": "kernel", "containment": "group", "labels": {},
            "events": 1,
        }  # fmt: skip
        return {**row, **members}

    def event_row(self, **members):
        now = timestamp()
        row = {
            "event_id": uuid7(), "seq": 1, "reason": "timeout", "run_id": uuid7(), "analysis_id": None, "host": self.host,
            "boot_id": self.boot_id, "uid": 0, "pid": 4711, "comm": "sleep", "cmdline": "sleep 1000", "cmdline_length": 10,
            "launcher_pid": 4710, "detail": None, "signals": [{"signal": "TERM", "at": now, "processes": 1}], "decided_at": now,
            "term_at": now, "kill_at": None, "empty_at": now, "processes_killed": 1,
            "processes": [{"pid": 4711, "comm": "sleep", "rss_bytes": 110592}], "launched_at": now, "deadline_at": now, "ended_at": now,
            "duration_sec": 0.100896, "exit_signal": "TERM", "timeout_sec": 0.1, "grace_sec": 10.0, "memory_limit_bytes": 1 << 31,
            "memory_bytes": 110592, "memory_peak_bytes": 110592, "cpu_sec": 0.001327, "enforcement": "kernel", "containment": "group",
            "labels": {"a": "b"}, "timeline": {"interval_sec": 1, "t_sec": [0.0, 0.1], "memory_bytes": [0, 110592], "cpu_sec": [0.0, 0.001]},
        }  # fmt: skip
        return {**row, **members}

    def alive(self, **members):
        row = self.run_row(**{"state": "running", "verdict": None, "ended_at": None, "duration_sec": None, "events": 0, **members})
        self.send("process", run=row)
        return row

    def ended(self, **members):
        row = self.run_row(**members)
        self.send("run", run=row)
        return row

    def event(self, **members):
        row = self.event_row(**members)
        self.send("event", event=row)
        return row


def multiply(spool, kind, number):
    """NUMBER events or runs in the history and the outbox of a record that has one: all but their ids like it. No recorder may run."""
    table, key = {"event": ("watchdog_events", "event_id"), "run": ("watchdog_runs", "run_id")}[kind]
    with sqlite3.connect(spool) as connection:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        values = ", ".join({"run_id": "?2", key: "?1"}.get(name, f'"{name}"') for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        first = connection.execute(f"SELECT {key} FROM {table}").fetchone()[0]
        now = time.time() - number / 1000
        ids = sorted(uuid7(now + index / 1000) for index in range(number - 1))
        connection.executemany(
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {key} = '{first}' AND ?2 IS NOT NULL",
            [(one, uuid7()) for one in ids],
        )
        connection.executemany("INSERT INTO outbox (kind, key, created_at) VALUES (?, ?, '2026-11-21T00:00:00.000000Z')", [(kind, one) for one in ids])
    connection.close()


def multiply_event(spool, number):
    multiply(spool, "event", number)


def timestamp(seconds=None):
    moment = datetime.datetime.fromtimestamp(time.time() if seconds is None else seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uuid7(seconds=None):
    milliseconds = int((time.time() if seconds is None else seconds) * 1000)
    number = milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))
