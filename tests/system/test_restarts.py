"""The supervisor is killed again and again while runs start, finish, hit limits and are killed: nobody notices.

Each run here knows how it must end. Afterwards its launcher's status and report, its row and its events are held
against that, and every kill's times against its deadline.
"""

import contextlib
import os
import random
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import eventually, helper, parse_time, process_comm, read_text, write_text  # noqa: E402
from systemtest import SUPERVISOR, SystemTest, systemctl, unit_cgroup  # noqa: E402

KILLS = int(os.environ.get("SCIDEX_TEST_KILLS", 40))  # 200 take a quarter of an hour, emulated
ALIVE = 50
SEED = int(os.environ.get("SCIDEX_TEST_SEED", time.time_ns() % 1_000_000))
PAUSE = 0.25  # between two launches, seconds
LATEST = 6.0  # seconds after deadline and grace: 2 are promised, and a start, which two kills in a row double, takes 40 times as long here

SANDBOX_OFF = """[Service]
ProtectSystem=no
ProtectHome=no
PrivateTmp=no
PrivateDevices=no
ProtectKernelTunables=no
ProtectKernelModules=no
ProtectKernelLogs=no
ProtectClock=no
ProtectProc=default
ReadWritePaths=
SystemCallFilter=
RestrictNamespaces=no
RestrictAddressFamilies=
"""

IGNORE = "trap '' TERM; while :; do sleep 1; done"


class Kind:
    """A way to end: options, command, exit status, verdict, reasons of the events."""

    def __init__(self, name, options, command, status, verdict, events=(), ask=None):
        self.name, self.options, self.command = name, options, command
        self.status, self.verdict, self.events, self.ask = status, verdict, list(events), ask


def kinds():
    return [
        Kind("completed", [], lambda r: ["sleep", f"{r.uniform(5, 40):.2f}"], 0, "completed"),
        Kind("completed", [], lambda r: ["sleep", f"{r.uniform(20, 60):.2f}"], 0, "completed"),
        Kind("short", [], lambda r: ["true"], 0, "completed"),
        Kind("failed", [], lambda r: ["sh", "-c", f"sleep {r.uniform(5, 30):.2f}; exit 3"], 3, "failed"),
        Kind("crashed", [], lambda r: ["sh", "-c", f"sleep {r.uniform(5, 30):.2f}; kill -9 $$"], 137, "crashed"),
        Kind("missing", [], lambda r: ["/nonexistent/program"], 127, "failed"),
        Kind("timeout", ["--timeout", "15s", "--grace", "2s"], lambda r: ["sleep", "1000"], 124, "timeout", ["timeout"]),
        Kind("ignores", ["--timeout", "12s", "--grace", "2s"], lambda r: ["sh", "-c", IGNORE], 124, "timeout", ["timeout"]),
        Kind("memory", ["--memory", "24M"], lambda r: [helper("leaker"), "anon", "64", "0"], 137, "memory", ["memory"]),
        Kind("cancelled", ["--grace", "2s"], lambda r: ["sleep", "1000"], 143, "cancelled", ["cancelled"], "kill"),
        Kind("leftover", ["--grace", "2s"], lambda r: ["sh", "-c", f"sleep 1000 & sleep {r.uniform(5, 30):.2f}; exit 4"], 4, "failed", ["orphan"]),
    ]  # fmt: skip


class Storm:
    """ALIVE runs at a time, of random kinds, as alice and bob."""

    def __init__(self, test, random_source):
        self.test, self.random, self.kinds = test, random_source, kinds()
        self.alive, self.ended, self.next_start = [], [], 0

    def start(self):
        kind = self.random.choice(self.kinds)
        launch = self.test.start_scidex(
            "--quiet", "--analysis-id", kind.name, *kind.options, "--", *kind.command(self.random),
            user=self.random.choice(["alice", "bob"]),
        )  # fmt: skip
        launch.kind, launch.kill_at = kind, time.monotonic() + self.random.uniform(5, 20) if kind.ask else None
        self.alive.append(launch)

    def cancel_due(self):
        """What is due to be cancelled; a supervisor that is away is asked again later."""
        due = [launch for launch in self.alive if launch.kill_at and time.monotonic() >= launch.kill_at]
        for launch in due:
            try:
                rows = [row for row in self.test.world.list() if row["launcher_pid"] == launch.process.pid]
                if rows:
                    self.test.world.kill(rows[0]["run_id"])
                    launch.kill_at = None
            except (OSError, EOFError, self.test.world_errors):
                return

    def step(self, refill=True):
        for launch in [launch for launch in self.alive if launch.process.poll() is not None]:
            self.alive.remove(launch)
            launch.result = launch.wait(60)
            self.ended.append(launch)
        self.cancel_due()
        # Now and then: it is the mixture that counts, not the load.
        if refill and len(self.alive) < ALIVE and time.monotonic() >= self.next_start:
            self.next_start = time.monotonic() + PAUSE
            self.start()


class Restarts(SystemTest):
    world_errors = Exception

    def lift_sandbox(self):
        """Emulated, its mounts and filters make a start take 3 s: nobody could hold a deadline to 2 s in between."""
        drop_in = f"/run/systemd/system/{SUPERVISOR}.d/99-test.conf"
        os.makedirs(os.path.dirname(drop_in), exist_ok=True)
        write_text(drop_in, SANDBOX_OFF)
        self.addCleanup(self.put_back, drop_in)
        systemctl("daemon-reload")
        self.world.restart_service()

    def put_back(self, drop_in):
        os.unlink(drop_in)
        systemctl("daemon-reload")
        systemctl("restart", SUPERVISOR)

    def service_pids(self):
        """Supervisor and recorder, from the unit's cgroup: systemctl costs an exec, and this is asked often."""
        try:
            return [int(pid) for pid in read_text(f"{self.cgroup}/cgroup.procs", "").split()]
        except OSError:
            return []

    def supervisor(self):
        return next((pid for pid in self.service_pids() if process_comm(pid) == "scidex-supervis"), None)

    def kill_all(self, number):
        """kill -9 of all of the unit's processes, by systemctl now and then."""
        if number % 10 == 0:
            systemctl("kill", "--signal", "KILL", SUPERVISOR)
            return
        for pid in self.service_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_at_random(self, storm, source, number):
        """Some while it starts, most while it serves."""
        while source.random() < 0.85 and self.world.supervisor_pid() != self.supervisor():
            storm.step()
        until = time.monotonic() + source.uniform(0, 1)
        while time.monotonic() < until:
            storm.step()
            time.sleep(0.05)
        before = self.supervisor()
        self.kill_all(number)
        gone = time.monotonic()
        eventually(lambda: self.supervisor() not in (None, before), 20, "systemd starts it again")
        self.away.append(time.monotonic() - gone)

    def check(self, launch, rows, events):
        kind, result = launch.kind, launch.result
        where = f"{kind.name}: {result}"
        self.assertEqual(result.status, kind.status, where)
        self.assertEqual(result.run["verdict"], kind.verdict, where)
        run_id = result.run["run_id"]
        row = rows.get(run_id)
        self.assertIsNotNone(row, f"no row in the record: {where}")
        self.assertEqual(row["verdict"], kind.verdict, row)
        mine = events.get(run_id, [])
        self.assertEqual([event["reason"] for event in mine], kind.events, where)
        for event in mine:
            if event["reason"] == "timeout":
                late = parse_time(event["empty_at"]) - parse_time(row["deadline_at"]) - row["grace_sec"]
                self.late.append(late)
                self.assertLess(late, LATEST, f"outlived its deadline and grace by {late:.2f} s: {event}")

    def record(self):
        """All rows and events of this test, by run."""
        rows, events = {}, {}
        for row in self.world.history(limit=1_000_000):
            rows[row["run_id"]] = row
        for event in self.world.events(limit=1_000_000):
            events.setdefault(event["run_id"], []).append(event)
        return rows, events

    def test_killed_again_and_again_under_50_runs_nothing_is_lost_doubled_or_late(self):
        signal.alarm(1500)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        source = random.Random(SEED)
        self.away, begin = [], time.monotonic()
        print(f"     seed {SEED}: SCIDEX_TEST_SEED={SEED} repeats it")
        storm = Storm(self, source)
        # Where starts take long, as many end as begin: then fewer have to do.
        while len(storm.alive) < ALIVE and time.monotonic() < begin + 120:
            storm.step()
            time.sleep(0.05)
        self.lift_sandbox()
        self.cgroup = unit_cgroup(SUPERVISOR)
        for number in range(KILLS):
            self.kill_at_random(storm, source, number)
        for launch in storm.alive:
            if launch.kill_at:
                launch.kill_at = 0.1
        while storm.alive:
            storm.step(refill=False)
            time.sleep(0.05)
        ids = {launch.result.run["run_id"] for launch in storm.ended}
        eventually(lambda: ids <= set(self.record()[0]), 10, "every run has its row")
        rows, events = self.record()
        wrong, self.late = [], []
        for launch in storm.ended:
            try:
                self.check(launch, rows, events)
            except AssertionError as error:
                wrong.append(str(error))
        killed = sum(len(launch.kind.events) for launch in storm.ended)
        print(
            f"     {len(storm.ended)} runs, {killed} kills, {KILLS} restarts in {time.monotonic() - begin:.0f} s; away for "
            f"{sorted(self.away)[KILLS // 2]:.2f} s (median), at most {max(self.away):.2f} s; after deadline and grace: "
            f"at most {max(self.late):.2f} s, {sum(late > 2 for late in self.late)} of {len(self.late)} over 2 s"
        )
        self.assertEqual(wrong, [], f"{len(wrong)} of them")
        ours = [event for run_id in ids for event in events.get(run_id, [])]
        self.assertEqual(len(ours), killed)
        self.assertEqual(len({event["event_id"] for event in ours}), killed)
        self.assertEqual(self.world.list(), [])
