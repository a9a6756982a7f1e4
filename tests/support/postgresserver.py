"""A PostgreSQL server of the test's own, and a proxy that cuts.

The server runs in a scratch directory, as an unprivileged user (never root: it refuses), on a Unix socket only; nothing
of a server that this machine may have is touched. `Server.conninfo()` is what SCIDEX_STORAGE_POSTGRES gets. What it was
made from (initdb) is made once per process and copied.

The hard thing is that a test must do to the server what life does, and still end clean: the postmaster is a direct
child that scidextest is told of, so `stop`, `stop("immediate")` and a mount that goes away leave nothing behind.
"""

import atexit
import contextlib
import functools
import glob
import json
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import scidextest
from scidextest import deadline, eventually, read_text, skip_missing

PORT = 5432
DATABASE = "scidex"
WAIT = 60  # generous: it only guards against a hang

STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

CONFIGURATION = {
    "listen_addresses": "''",
    "port": str(PORT),
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "50",
    "max_parallel_workers_per_gather": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "'%m [%p] %u@%d %a '",
}


class PsqlError(Exception):
    """psql ended with an error: its words."""


@functools.cache
def server_programs():
    """The directory of initdb, postgres, psql …: version 15, else the newest there is."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    if not found:
        skip_missing("postgresql-15 is not installed (tests/support/deps/install test)")
    wanted = "/usr/lib/postgresql/15/bin/postgres"
    return os.path.dirname(wanted if wanted in found else found[-1])


@functools.cache
def server_user():
    """(uid, gid) that the servers run as; our own where we are not root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def clean_environment(**extra):
    """Nothing of what libpq or psql read from the caller's surroundings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "SCIDEX_"))}
    return {**environment, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **extra}


def become():
    """Arguments of subprocess that make a child the servers' user."""
    uid, gid = server_user()
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


def scratch_directory(prefix):
    """For the servers' user. Below /tmp: the path of a socket has 108 bytes."""
    path = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
    os.chown(path, *server_user())
    os.chmod(path, 0o755)
    return path


@functools.cache
def data_template():
    """A data directory fresh from initdb."""
    place = scratch_directory("sx-pgt-")
    atexit.register(shutil.rmtree, place, True)
    data = os.path.join(place, "data")
    done = subprocess.run(
        [os.path.join(server_programs(), "initdb"), "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D", data],
        cwd=place, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **become(),
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"initdb: {done.stdout}")
    return data


class Server:
    """One PostgreSQL server. HBA: lines that come before `local all all trust`."""

    def __init__(self, hba=(), **settings):
        self.directory = scratch_directory("sx-pg-")
        self.data = os.path.join(self.directory, "data")
        self.log_path = os.path.join(self.directory, "server.log")
        self.process = None
        self.mounts = []
        subprocess.run(["cp", "-a", data_template(), self.data], check=True)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            for key, value in {**CONFIGURATION, "unix_socket_directories": f"'{self.directory}'", **settings}.items():
                file.write(f"{key} = {value}\n")
        self.hba(*hba)

    def hba(self, *lines):
        """Who may connect how; holds from the next start or reload."""
        path = os.path.join(self.data, "pg_hba.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in (*lines, "local all all trust")))
        os.chown(path, *server_user())

    # Its life

    def start(self):
        assert self.process is None, "it runs"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(server_programs(), "postgres"), "-D", self.data],
                cwd=self.directory, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **become(),
            )  # fmt: skip
        scidextest.OTHERS.add(self.process.pid)
        eventually(self.answers, WAIT, "the server takes connections", every=0.05)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.log()[-3000:]}")
        done = subprocess.run(
            [os.path.join(server_programs(), "pg_isready"), "-q", "-h", self.directory, "-p", str(PORT), "-t", "5"],
            env=clean_environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode == 0

    def stop(self, mode="fast"):
        if self.process is None:
            return
        self.process.send_signal(STOP_SIGNALS[mode])
        try:
            self.process.wait(deadline(WAIT))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        scidextest.OTHERS.discard(self.process.pid)
        self.process = None

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def runs(self):
        return self.process is not None

    def log(self):
        return read_text(self.log_path, "")

    def remove(self):
        self.stop("immediate")
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    # Speaking with it

    def conninfo(self, database=DATABASE, user="postgres", directory=None, **parameters):
        words = {"host": directory or self.directory, "port": PORT, "dbname": database, "user": user, **parameters}
        return " ".join(f"{key}={value}" for key, value in words.items())

    def psql(self, statement, database=DATABASE, user="postgres", **variables):
        """All rows as one text, columns separated by a tab. VARIABLES: of the environment (PGPASSWORD, PGOPTIONS)."""
        done = subprocess.run(
            [os.path.join(server_programs(), "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-w", self.conninfo(database, user)],
            env=clean_environment(PGCONNECT_TIMEOUT="20", **variables), input=statement, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise PsqlError(done.stderr.strip())
        return done.stdout.rstrip("\n")

    def rows(self, statement, **options):
        text = self.psql(statement, **options)
        return [line.split("\t") for line in text.split("\n")] if text else []

    def number(self, statement, **options):
        return int(self.psql(statement, **options) or 0)

    def json(self, statement, **options):
        """Rows of SELECT statement as dictionaries."""
        return json.loads(self.psql(f"SELECT coalesce(json_agg(q), '[]') FROM ({statement}) q", **options))

    @contextlib.contextmanager
    def listen(self, channel, database=DATABASE):
        """A session that listens; gives a function that says what psql has heard since."""
        process = subprocess.Popen(
            [os.path.join(server_programs(), "psql"), "-X", "-q", "-A", "-t", "-w", self.conninfo(database)],
            env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        )  # fmt: skip

        def ask(statement):
            """The output up to the line that psql says last; it prints what it has heard after a statement."""
            process.stdin.write(f"{statement};\n\\echo done\n".encode())
            lines = []
            while not lines or lines[-1] != "done\n":
                lines.append(process.stdout.readline().decode())
                assert lines[-1], "psql ended: " + "".join(lines)
            return "".join(lines[:-1])

        try:
            ask(f"LISTEN {channel}")
            yield lambda: "".join(line for line in ask("SELECT").splitlines() if channel in line)
        finally:
            process.stdin.close()
            process.wait(deadline(WAIT))
            process.stdout.close()

    def create_database(self, name=DATABASE, *options):
        self.psql(f'CREATE DATABASE "{name}" {" ".join(options)}', database="postgres")

    def drop_database(self, name=DATABASE):
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', database="postgres")

    def dump(self, database=DATABASE):
        """pg_dump as SQL."""
        done = subprocess.run(
            [os.path.join(server_programs(), "pg_dump"), "-w", self.conninfo(database)],
            env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise PsqlError(done.stderr.strip())
        return done.stdout

    # What happens to servers

    def set_read_only(self, on):
        """For every session, also those that are there."""
        self.configure(default_transaction_read_only="on" if on else "off")

    def configure(self, **settings):
        for key, value in settings.items():
            self.psql(f"ALTER SYSTEM SET {key} = {value}", database="postgres")
        loaded = "SELECT pg_conf_load_time()"  # by the postmaster, which has told every session then
        before = self.psql(loaded, database="postgres")
        self.psql("SELECT pg_reload_conf()", database="postgres")
        eventually(lambda: self.psql(loaded, database="postgres") != before, WAIT, f"{', '.join(settings)} holds")

    def end_sessions(self):
        """Of everyone else; how many there were."""
        return self.number(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
            database="postgres",
        )

    def sessions(self, database=DATABASE):
        return self.number(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            database="postgres",
        )

    def small_tablespace(self, size, name="small"):
        """A tablespace on a tmpfs of SIZE; see fill()."""
        place = os.path.join(self.directory, name)
        os.mkdir(place)
        uid, gid = server_user()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700,uid={uid},gid={gid}", "tmpfs", place], check=True)
        self.mounts.append(place)
        location = os.path.join(place, "space")
        os.mkdir(location, 0o700)
        os.chown(location, uid, gid)
        self.psql(f"CREATE TABLESPACE {name} LOCATION '{location}'", database="postgres")
        return place

    @staticmethod
    def fill(place):
        """Takes what room there is; returns the file to remove."""
        path = os.path.join(place, "fill")
        with open(path, "wb", buffering=0) as file:
            for size in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size) == size:
                        pass
        return path


class CutProxy:
    """Between a client and the server, on a Unix socket in a directory of its own: `server.conninfo(directory=proxy.directory)`.

    mode "pass": hands everything over. "cut": ends each connection after a random number of bytes, in mid-packet.
    "hang": takes connections and says nothing, and what is there gets no further. "refuse": ends them at once.
    """

    def __init__(self, server, seed=None):
        self.seed = random.randrange(1 << 32) if seed is None else seed
        self.random = random.Random(self.seed)
        self.directory = scratch_directory("sx-px-")
        self.server_path = os.path.join(server.directory, f".s.PGSQL.{PORT}")
        self.mode, self.most_bytes = "pass", 200_000
        self.accepted = self.cuts = 0
        self.pairs = {}  # socket: (its peer, its connection)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = os.path.join(self.directory, f".s.PGSQL.{PORT}")
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(64)
        self.wake_read, self.wake_write = os.pipe()
        self.ended = False
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def set(self, mode, most_bytes=None):
        self.most_bytes = most_bytes or self.most_bytes
        self.mode = mode
        os.write(self.wake_write, b"m")

    def close(self):
        self.ended = True
        os.write(self.wake_write, b"e")
        self.thread.join()
        for one in [*self.pairs, self.listener]:
            one.close()
        os.close(self.wake_read)
        os.close(self.wake_write)
        shutil.rmtree(self.directory, ignore_errors=True)

    def loop(self):
        while not self.ended:
            watched = [] if self.mode == "hang" else list(self.pairs)
            ready, _, _ = select.select([self.listener, self.wake_read, *watched], [], [])
            for one in ready:
                if one is self.wake_read:
                    os.read(self.wake_read, 4096)
                    if self.mode == "refuse":
                        self.end_all()
                elif one is self.listener:
                    self.accept()
                elif one in self.pairs:
                    self.forward(one)

    def accept(self):
        client, _ = self.listener.accept()
        self.accepted += 1
        if self.mode == "refuse":
            client.close()
            return
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            upstream.connect(self.server_path)
        except OSError:
            upstream.close()
            client.close()
            return
        # Counted in one direction. Answers are short: cut there, what was committed is not acknowledged. Some connections
        # end within the handshake, most of them later.
        if self.random.random() < 0.5:
            connection = {"from": upstream, "left": self.random.randrange(1, 4000)}
        else:
            connection = {"from": client, "left": self.random.choice([self.random.randrange(1, 1000), self.random.randrange(1, self.most_bytes)])}
        self.pairs[client] = (upstream, connection)
        self.pairs[upstream] = (client, connection)

    def forward(self, one):
        peer, connection = self.pairs[one]
        try:
            data = one.recv(65536)
            if not data:
                return self.end(one)
            if self.mode == "cut" and connection["from"] is one:
                part = data[: connection["left"]]
                connection["left"] -= len(data)
                peer.sendall(part)
                if connection["left"] <= 0:
                    self.cuts += 1
                    self.end(one)
            else:
                peer.sendall(data)
        except OSError:
            self.end(one)
        return None

    def end(self, one):
        peer, _ = self.pairs.pop(one)
        self.pairs.pop(peer, None)
        one.close()
        peer.close()

    def end_all(self):
        while self.pairs:
            self.end(next(iter(self.pairs)))
