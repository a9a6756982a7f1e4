"""Every kill is in the database once, whatever fails: real runs of a real supervisor, and a server to which everything happens.

How many kills: SCIDEX_TEST_EVENTS, by default as many as fit into ./check.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from feeder import multiply_event  # noqa: E402
from postgresserver import DATABASE, WAIT, Server  # noqa: E402
from postgrestest import PostgresTest, migrate  # noqa: E402
from scidextest import deadline, eventually, is_alive, needs, process_comm, write_text  # noqa: E402

EVENTS = int(os.environ.get("SCIDEX_TEST_EVENTS", "5000"))
WORKERS = 16
BACKLOG, CRASHES = 40_000, 3

# One launch after the other, the status of each a line.
WORKER = """
launcher=$1 number=$2 analysis=$3
while [ "$number" -gt 0 ]; do
        "$launcher" --quiet --analysis-id "$analysis" --timeout 60ms --grace 1s -- sleep 1000
        echo $?
        number=$((number - 1))
done
"""


class Often(threading.Thread):
    """ACTION again and again, until the end of the `with`; what it raised is raised there."""

    def __init__(self, action, every):
        super().__init__(daemon=True)
        self.action, self.every = action, every
        self.over = threading.Event()
        self.times = 0
        self.error = None

    def run(self):
        try:
            while not self.over.wait(self.every):
                self.times += bool(self.action())
        except Exception as error:  # noqa: BLE001  it is raised in __exit__
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *ignored):
        self.over.set()
        self.join()
        if self.error and kind is None:
            raise self.error


class ExactlyOnce(PostgresTest):
    """Phases: in each one thing fails while its share of the runs is killed; nothing is waited for in between."""

    MIGRATED = False

    def setUp(self):
        super().setUp()
        self.random = random.Random(20261121)
        self.statuses = []

    # Runs that are killed

    def produce(self, number):
        """Waits for NUMBER launches, each killed at its time limit."""
        script = os.path.join(self.world.directory, "worker.sh")
        write_text(script, WORKER)
        errors = open(os.path.join(self.world.directory, "launchers.log"), "a", encoding="utf-8")
        self.addCleanup(errors.close)
        shares = [number // WORKERS + (index < number % WORKERS) for index in range(WORKERS)]
        workers = [
            subprocess.Popen(
                ["sh", script, self.world.program("scidex-run"), str(share), f"SDA-{index}"], env=self.world.environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            )
            for index, share in enumerate(shares)
        ]  # fmt: skip
        try:
            for worker in workers:
                output = worker.communicate(timeout=deadline(200))[0]
                self.statuses += output.split("\n")[:-1]
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                worker.stdout.close()
                worker.wait()

    def reach_ok(self):
        """Supervisor and recorder may leave, idle, before they try the server again: then a run brings the next ones."""
        end = time.monotonic() + WAIT
        while (state := self.world.postgres().get("state")) != "ok" and time.monotonic() < end:
            if state is None:
                self.produce(1)
            time.sleep(0.05)
        self.world.wait_state("ok")

    # What happens meanwhile

    def kill_supervisor(self):
        pid = self.world.supervisor_pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), 10, "the killed supervisor is gone")
        return True

    def kill_recorder(self):
        """And lets the next one come: killed faster than it starts, it would be away for good."""
        pid = self.world.recorder_pid()
        if pid is None or process_comm(pid) != "scidex-recorder":
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        # Its supervisor may have been killed too: then there is none until the next launch starts both.
        eventually(lambda: self.world.supervisor_pid() is None or self.world.recorder_pid() not in (None, pid), WAIT, "the next recorder is there")
        return True

    def healthy(self, number):
        self.produce(number)
        self.world.wait_state("ok")

    def server_stopped(self, number):
        self.server.stop("fast")
        self.produce(number)
        self.world.wait_state("away")
        self.assert_local_answers()
        self.server.start()

    def server_restarted_immediately(self, number):
        with Often(lambda: self.server.restart("immediate") or True, 0.5) as often:
            self.produce(number)
            eventually(lambda: often.times >= 2, WAIT)

    def server_read_only(self, number):
        self.reach_ok()
        self.server.set_read_only(True)
        self.produce(number)
        self.world.wait_state("read-only")
        self.assert_local_answers()
        self.server.set_read_only(False)

    def server_full(self, number):
        self.reach_ok()
        fill = self.server.fill(self.small)
        self.produce(number)
        self.world.wait_state("full")
        self.assert_local_answers()
        os.unlink(fill)

    def connections_cut(self, number):
        """Not until there is traffic is anything cut: so slice by slice, however many that takes."""
        before = self.through.cuts
        self.through.set("cut", most_bytes=200_000)
        end = time.monotonic() + WAIT
        while self.through.cuts - before < 4 and time.monotonic() < end:
            self.produce(number // 4)
        self.assertGreaterEqual(self.through.cuts - before, 4)
        self.through.set("pass")

    def sessions_ended(self, number):
        self.reach_ok()
        with Often(self.server.end_sessions, 0.5) as often:
            self.produce(number)
            eventually(lambda: often.times >= 2, WAIT, "sessions are ended")

    def supervisor_killed(self, number):
        with Often(self.kill_supervisor, 0.4) as often:
            self.produce(number)
        self.assertGreater(often.times, 0)

    def recorder_killed(self, number):
        with Often(self.kill_recorder, 0.3) as often:
            self.produce(number)
        self.assertGreater(often.times, 0)

    def all_at_once(self, number):
        self.through.set("cut", most_bytes=400_000)
        with Often(self.kill_supervisor, 0.7), Often(self.kill_recorder, 0.45), Often(self.server.end_sessions, 0.6):
            self.produce(number)
        self.through.set("pass")

    # What must be so

    def assert_local_answers(self):
        """From the history of this host, while there is no database."""
        event = self.world.events(limit=1)[0]
        self.assertEqual(self.world.why(event["run_id"])["run"]["verdict"], "timeout")
        self.assertEqual(len(self.world.history(limit=20)), 20)
        self.assertIn("postgres", self.world.status()["storage"])

    def several_events(self):
        """Of each run with more than one: what the events say."""
        return self.server.rows(
            "SELECT run_id, event_id, seq, reason, detail, decided_at, launcher_pid FROM watchdog_events WHERE run_id IN"
            " (SELECT run_id FROM watchdog_events GROUP BY run_id HAVING count(*) > 1) ORDER BY run_id, seq"
        )

    def assert_once(self):
        killed = self.statuses.count("124")
        self.assertEqual(killed, len(self.statuses), f"not all were killed at their limit: {sorted(set(self.statuses))}")
        events = self.world.sql("SELECT event_id FROM watchdog_events")
        produced = len(events)
        # A supervisor killed between making a run and saying so leaves one that nobody starts; its launcher asks anew.
        unborn = self.world.sql("SELECT count(*) FROM watchdog_events WHERE pid IS NULL")[0][0]
        self.assertIn(produced - killed, range(unborn + 1))
        self.assertEqual(self.several_events(), [], "a run was killed once, but has more events than one")
        self.assertEqual(self.count("watchdog_events"), produced)
        self.assertEqual(self.server.number("SELECT count(DISTINCT event_id) FROM watchdog_events"), produced)
        self.assertEqual({row[0] for row in self.server.rows("SELECT event_id FROM watchdog_events")}, {event[0] for event in events})
        self.assertEqual(
            self.server.rows("SELECT run_id FROM watchdog_events GROUP BY run_id HAVING min(seq) <> 1 OR max(seq) <> count(*)"), [], "a gap in seq"
        )
        self.assertEqual(self.count("watchdog_runs"), produced)
        self.assertEqual(self.count("watchdog_runs", "verdict <> 'timeout'"), 0)
        self.assertEqual(self.count("watchdog_processes"), 0)
        self.assertEqual(self.world.sql("SELECT count(*) FROM outbox")[0][0], 0)
        self.assertEqual(self.world.sql("SELECT count(*) FROM dead_letters")[0][0], 0)

    @needs("root", "groups")
    def test_whatever_fails_each_kill_is_there_once(self):
        self.small = self.server.small_tablespace("512m")
        self.addCleanup(self.server.drop_database)
        self.server.drop_database()
        self.server.create_database(DATABASE, "TABLESPACE small")
        self.migrate()
        self.through = self.proxy(seed=self.random.randrange(1 << 32))
        self.new_world(self.server.conninfo(directory=self.through.directory))
        phases = [
            self.healthy, self.server_stopped, self.server_restarted_immediately, self.connections_cut, self.sessions_ended,
            self.server_read_only, self.supervisor_killed, self.server_full, self.recorder_killed, self.all_at_once,
        ]  # fmt: skip
        for phase in phases:
            begin = time.monotonic()
            try:
                phase(EVENTS // len(phases))
                print(f"     {time.monotonic() - begin:6.1f} s  {phase.__name__}, {len(self.statuses)} runs so far", flush=True)
            except (AssertionError, OSError) as error:
                raise AssertionError(f"{phase.__name__}: {error}") from error
        begin = time.monotonic()
        self.reach_ok()
        self.world.wait_shipped(120)
        print(f"     {len(self.statuses)} kills")
        print(f"     {time.monotonic() - begin:6.1f} s  until all is shipped")
        self.assert_local_answers()
        self.assert_once()


class Crashed(PostgresTest):
    """A server that writes its log to the disk only when a commit waits for it, so that a crash loses what none did."""

    SETTINGS = {"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}

    def test_a_backlog_is_whole_after_crashes_in_its_midst(self):
        feeder = self.feeder("host=/nonexistent")
        feeder.event()
        feeder.stop()
        multiply_event(os.path.join(feeder.directory, "spool", "spool.sqlite"), BACKLOG)
        feeder.conninfo = self.server.conninfo()
        feeder.start()
        for crash in range(1, CRASHES + 1):
            left = BACKLOG * (CRASHES - crash + 1) // (CRASHES + 1)
            eventually(lambda left=left: feeder.postgres().get("waiting", BACKLOG) <= left, WAIT)
            self.server.restart("immediate")
        feeder.wait_shipped()
        self.assertEqual(self.count("watchdog_events"), BACKLOG)
        self.assertEqual(feeder.postgres()["dead_letters"], 0)


class Restored(PostgresTest):
    def test_shipping_goes_on_without_a_duplicate_after_dump_and_restore(self):
        feeder = self.feeder()
        first = [feeder.event() for _ in range(200)]
        feeder.wait_shipped()
        dumped = self.server.dump()
        # What came after the dump is lost with the old server, unless it had not been shipped.
        self.server.stop("immediate")
        second = [feeder.event() for _ in range(200)]
        feeder.settle()
        new = Server()
        self.addCleanup(new.remove)
        new.start()
        new.create_database()
        new.psql("CREATE ROLE scidex_writer; CREATE ROLE scidex_reader", database="postgres")
        new.psql(dumped)
        feeder.stop()
        # As if no acknowledgement of them had come: the new server has them, the recorder can't know it.
        feeder.sql("INSERT OR IGNORE INTO outbox (kind, key, created_at) SELECT 'event', event_id, decided_at FROM watchdog_events")
        feeder.conninfo = new.conninfo()
        feeder.start()
        feeder.wait_shipped()
        third = [feeder.event() for _ in range(50)]
        feeder.settle()
        feeder.wait_shipped()
        expected = {event["event_id"] for event in first + second + third}
        found = [row[0] for row in new.rows("SELECT event_id FROM watchdog_events")]
        self.assertEqual(len(found), len(expected))
        self.assertEqual(feeder.postgres()["dead_letters"], 0)
        self.assertEqual(set(found), expected)
        done = migrate(new.conninfo())
        self.assertEqual(done.returncode, 0, done.stderr)
