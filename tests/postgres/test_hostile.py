"""What a server that means harm, a host that does, or one whose clock is wrong can do to the others."""

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from postgresserver import PORT, CutProxy, PsqlError, scratch_directory  # noqa: E402
from postgrestest import PostgresTest  # noqa: E402
from scidextest import ScidexTest, eventually, read_text  # noqa: E402


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def rows_of(*values):
    """RowDescription and one DataRow of these texts."""
    fields = b"".join(b"c\0" + struct.pack(">IHIhIh", 0, 0, 25, -1, 0xFFFFFFFF, 0) for _ in values)
    cells = b"".join(struct.pack(">I", len(value)) + value for value in values)
    return message(b"T", struct.pack(">H", len(values)) + fields), message(b"D", struct.pack(">H", len(values)) + cells)


PARSED, BOUND, READY = message(b"1"), message(b"2"), message(b"Z", b"I")
SELECTED = message(b"C", b"SELECT 1\0")


class FakeServer:
    """Speaks just enough of the protocol to be let in. ANSWER(connection): called at each Sync, sends what it likes."""

    def __init__(self, answer):
        self.directory = scratch_directory("sx-fk-")
        self.answer = answer
        self.accepted = 0
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = os.path.join(self.directory, f".s.PGSQL.{PORT}")
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def conninfo(self):
        return f"host={self.directory} port={PORT} dbname=scidex user=scidex"

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError, struct.error), connection.makefile("rb") as stream:
            (length,) = struct.unpack(">I", stream.read(4))
            stream.read(length - 4)
            parameters = b"".join(message(b"S", name + b"\0" + value + b"\0") for name, value in ((b"client_encoding", b"UTF8"), (b"server_version", b"15.1")))
            connection.sendall(message(b"R", struct.pack(">I", 0)) + parameters + READY)
            while True:
                kind = stream.read(1)
                (length,) = struct.unpack(">I", stream.read(4))
                stream.read(length - 4)
                if kind == b"S":
                    self.answer(connection)
                elif kind == b"X":
                    return


class HostileServer(ScidexTest):
    """The recorder goes on storing, in little memory and time, whatever the other side says."""

    def serve(self, answer):
        server = FakeServer(answer)
        self.addCleanup(server.close)
        return server

    def feeder_of(self, server):
        feeder = PostgresTest.feeder(self, server.conninfo())
        return feeder

    def assert_stores(self, feeder, pid):
        feeder.event()
        feeder.settle()
        self.assertEqual(feeder.process.pid, pid)
        self.assertIsNone(feeder.process.poll(), feeder.log())
        self.assertEqual(feeder.sql("SELECT count(*) FROM watchdog_events"), [(1,)])

    def test_a_row_without_columns(self):
        description, row = message(b"T", b"\0\0"), message(b"D", b"\0\0")
        server = self.serve(lambda c: c.sendall((PARSED + BOUND + description + row + SELECTED) * 2 + READY))
        feeder = self.feeder_of(server)
        feeder.wait_state("schema", "failed")
        self.assert_stores(feeder, feeder.process.pid)

    def test_copy_where_rows_were_asked_for(self):
        for kind in (b"G", b"H", b"W"):
            with self.subTest(kind=kind):
                server = self.serve(lambda c, kind=kind: c.sendall(PARSED + BOUND + message(kind, b"\0\0\0") + READY))
                feeder = self.feeder_of(server)
                feeder.wait_state("away", "failed")
                self.assert_stores(feeder, feeder.process.pid)

    def test_rows_without_end_take_no_memory(self):
        description, row = rows_of(b"x" * 8000)

        def pour(connection):
            connection.sendall(PARSED + BOUND + description)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                connection.sendall(row * 16)

        server = self.serve(pour)
        feeder = self.feeder_of(server)
        eventually(lambda: server.accepted, 20, "it connects", every=0.05)
        most = 0
        for _ in range(20):
            time.sleep(0.1)
            most = max(most, rss_bytes(feeder.process.pid))
        print(f"     rows without end: {most >> 20} MiB")
        self.assertLess(most, 64 << 20)
        self.assert_stores(feeder, feeder.process.pid)


    def test_a_message_of_any_length_takes_little_memory(self):
        for kind in (b"D", b"N", b"E"):
            with self.subTest(kind=kind):

                def pour(connection, kind=kind):
                    connection.sendall(PARSED + BOUND + rows_of(b"x")[0] + kind + struct.pack(">I", 1 << 30))
                    for _ in range(1 << 10):
                        connection.sendall(b"\0\1" + b"x" * (1 << 20))

                server = self.serve(pour)
                feeder = self.feeder_of(server)
                most = 0

                def given_up(feeder=feeder):
                    nonlocal most
                    most = max(most, rss_bytes(feeder.process.pid))
                    return feeder.postgres().get("state") not in ("connecting", "ok", None)

                eventually(given_up, 30, "the connection is dropped", every=0.01)
                self.assertLess(most, 200 << 20)
                self.assert_stores(feeder, feeder.process.pid)


class HostileUser(PostgresTest):
    def test_a_lock_on_the_directory_keeps_nobody_from_shipping(self):
        """The group of those who may launch runs can open it."""
        feeder = self.feeder()
        feeder.stop()
        directory = os.open(os.path.join(feeder.directory, "spool"), os.O_RDONLY)
        self.addCleanup(os.close, directory)
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        feeder.start()
        feeder.event()
        feeder.settle()
        feeder.wait_shipped(20)
        (lock,) = (name for name in os.listdir(directory) if name.endswith(".shipping"))
        self.assertEqual(os.stat(lock, dir_fd=directory).st_mode & 0o777, 0o600)


class HostileHost(PostgresTest):
    """A host that has the writers' password, and means harm or has a wrong clock, spoils nothing for those who read."""

    def setUp(self):
        super().setUp()
        with contextlib.suppress(PsqlError):
            self.server.psql("CREATE ROLE intruder LOGIN IN ROLE scidex_writer")

    def as_host(self, statement):
        return self.server.psql(statement, user="intruder")

    def test_a_heartbeat_that_is_no_time_is_refused(self):
        for seconds in ("NaN", "1e300", "-1", "Infinity"):
            with self.assertRaises(PsqlError):
                self.as_host(f"INSERT INTO watchdog_hosts (host, supervisor, heartbeat_sec) VALUES ('evil', 'system', '{seconds}')")
        self.as_host("INSERT INTO watchdog_hosts (host, supervisor, heartbeat_at) VALUES ('evil', 'system', '-infinity')")
        self.assertEqual(self.server.psql("SELECT silent_hosts FROM watchdog_status"), "1")
        self.server.psql("SELECT scidex_forget('evil')")

    def test_kills_of_the_future_are_not_of_the_last_day(self):
        for at in ("now() + interval '30 days'", "'infinity'", "'-infinity'", "now() - interval '2 days'", "now()"):
            self.as_host(
                "INSERT INTO watchdog_events (event_id, run_id, host, reason, decided_at)"
                f" VALUES (gen_random_uuid(), gen_random_uuid(), 'ahead', 'timeout', {at})"
            )
        self.assertEqual(self.server.psql("SELECT kills_last_24h FROM watchdog_status"), "1")


class Service(PostgresTest):
    def test_a_server_of_a_service_file_that_hangs_is_away_and_found_again(self):
        proxy = CutProxy(self.server)
        self.addCleanup(proxy.close)
        proxy.set("hang")
        place = scratch_directory("sx-sv-")
        self.addCleanup(shutil.rmtree, place, True)
        with open(os.path.join(place, "services"), "w", encoding="utf-8") as file:
            file.write("[record]\n" + "\n".join(self.server.conninfo(directory=proxy.directory).split()) + "\n")
        feeder = self.feeder("service=record", PGSERVICEFILE=os.path.join(place, "services"))
        feeder.event()
        feeder.settle()
        feeder.wait_state("away")
        proxy.set("refuse")
        proxy.set("pass")
        feeder.wait_shipped()


class Partitions(PostgresTest):
    def test_one_that_cannot_be_made_is_no_reason_to_ship_nothing(self):
        """Who fills the default partition makes the function run into the statement's timeout, each time and for all hosts."""
        for sqlstate in ("57014", "42501", "53200"):
            with self.subTest(sqlstate=sqlstate):
                self.server.psql(
                    "CREATE OR REPLACE FUNCTION scidex_make_partition(at timestamptz) RETURNS text LANGUAGE plpgsql AS"
                    f" $f$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = 'not now'; END $f$"
                )
                feeder = self.feeder()
                feeder.event()
                feeder.settle()
                feeder.wait_shipped(20)
                feeder.stop()


class Domains(PostgresTest):
    MIGRATED = False

    def test_an_id_that_the_platforms_domain_refuses_is_only_unknown(self):
        self.server.psql(
            "CREATE DOMAIN analysis_id AS varchar(12) CHECK (value ~ '^SDA-'); CREATE TABLE analyses (id analysis_id PRIMARY KEY);"
            "INSERT INTO analyses VALUES ('SDA-1')"
        )
        for with_rows in (False, True):
            if with_rows:  # those of before the link
                self.server.psql("ALTER TABLE watchdog_runs DROP CONSTRAINT watchdog_runs_analysis_id_fkey; UPDATE watchdog_runs SET analysis_id = analysis_ref")
            self.migrate()
            feeder = self.feeder()
            ids = ("SDA-1", "other", "SDA-1-and-much-more")
            runs = [feeder.ended(analysis_id=one)["run_id"] for one in ids]
            feeder.settle()
            feeder.wait_shipped()
            self.assertEqual(feeder.postgres()["dead_letters"], 0)
            for run_id, one in zip(runs, ids):
                self.assertEqual(self.server.psql(f"SELECT analysis_id, analysis_ref FROM watchdog_runs WHERE run_id = '{run_id}'"), f"{one if one == 'SDA-1' else ''}\t{one}")
            feeder.stop()


def rss_bytes(pid):
    for line in read_text(f"/proc/{pid}/status", "").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0
