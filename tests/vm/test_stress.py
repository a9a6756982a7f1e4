"""stress-ng as adversary: what allocates, forks, daemonises, stops, traces, maps and leaks, each under limits.

Run by tests/vm/guest/suite in the guests. Each line of a table is one run: what stress-ng is to do (far longer than it is
let), the limits, and what must come of it. All are held against the same rules (`Storm.judge`): no figure of the record
above its limit, the limit that was to be hit really hit, one event for one kill, over in time, nothing alive, group gone.

The hard thing is that stress-ng defends itself. As root it makes its first process immune to the OOM killer
(oom_score_adj -1000, which also memory.oom.group spares), starts anew what was killed, catches SIGTERM and leaves
the session. So the tables have the same attack by root, by a user, and with --oomable, where that makes another path.
Two are only a user's (`resources`, `forkheavy`): where their fork fails, stress-ng 0.15 sends SIGALRM to pids that it has
from uninitialised memory, and root's would end the guest.

The figures of each run, in lines `figures:`: SCIDEX_STRESS_FIGURES=1 (tests/vm/boot --env).
"""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    MIB,
    ProtocolError,
    ScidexTest,
    all_pids,
    deadline,
    eventually,
    group_processes,
    parse_time,
    process_comm,
    process_state,
    read_text,
    require,
    seconds_between,
)

# How much later than by the contract an emulated, crowded machine may be; never how much earlier.
LATE_SECONDS = deadline(1)
# How long each goes on once it is at work, where time is what ends it.
WORK_SECONDS = 2
# Two processors, and some of these take all they get.
AT_ONCE = 3
# The kernel lets through what must not fail (atomic, __GFP_NOFAIL) though the group is full (measured: one page, on 6.1).
FORCED_BYTES = 16 * 4096
# What a supervisor may keep of a table of runs, for its allocator's use (measured: 0.1 MiB, the same after eight tables).
SUPERVISOR_GROWTH_BYTES = MIB // 2

STATUS = {"completed": 0, "timeout": 124, "cpu-time": 124, "memory": 137}
AS_USER = ("setpriv", "--reuid=alice", "--regid=alice", "--clear-groups", "--")


@dataclasses.dataclass(frozen=True)
class Attack:
    stress: str
    limits: str
    verdict: str
    crowded: bool = False  # the limit of processes must have been hit
    prefix: tuple = ()


ALLOCATE = {
    "bigheap": Attack("--bigheap 1", "--memory 96M", "memory"),
    "bigheap, a user's": Attack("--bigheap 1", "--memory 96M", "memory", prefix=AS_USER),
    "bigheap, oomable": Attack("--bigheap 1 --oomable", "--memory 96M", "memory"),
    "stack without end": Attack("--stack 1 --stack-fill", "--memory 8M", "memory", prefix=("prlimit", "--stack=unlimited", "--")),
    "malloc": Attack("--malloc 2 --malloc-bytes 256M --malloc-touch", "--memory 64M", "memory"),
    "vm": Attack("--vm 2 --vm-bytes 200M --vm-keep", "--memory 128M", "memory"),
}

SHARE = {
    "shm": Attack("--shm 1 --shm-bytes 16M --shm-objs 32", "--memory 48M", "memory"),
    "shm-sysv": Attack("--shm-sysv 1 --shm-sysv-bytes 32M --shm-sysv-segs 8", "--memory 48M", "memory"),
    "memfd": Attack("--memfd 1 --memfd-bytes 256M --memfd-fds 16", "--memory 48M", "memory"),
    "dev-shm": Attack("--dev-shm 1", "--memory 48M", "memory"),
}

FORK = {
    "fork": Attack("--fork 2 --fork-max 64", "--pids 30", "timeout", crowded=True),
    "vfork": Attack("--vfork 2 --vfork-max 64", "--pids 30", "timeout", crowded=True),
    "clone": Attack("--clone 1 --clone-max 200", "--pids 30", "timeout", crowded=True),
    "forkheavy": Attack("--forkheavy 1 --forkheavy-procs 20 --forkheavy-allocs 16", "--memory 128M --pids 60", "timeout", prefix=AS_USER),
    "exec": Attack("--exec 1 --exec-max 8", "--pids 100", "timeout", prefix=AS_USER),
    "zombie": Attack("--zombie 1 --zombie-max 200", "--pids 30", "timeout", crowded=True),
}

ESCAPE = {
    "daemon": Attack("--daemon 2", "--pids 100", "timeout"),
    "session": Attack("--session 2", "--pids 100", "timeout"),
    "unshare": Attack("--unshare 1", "--pids 100", "timeout"),
    "wait": Attack("--wait 2", "--pids 100", "timeout"),
    "ptrace": Attack("--ptrace 2", "--pids 100", "timeout"),
    "signals": Attack("--sigsuspend 1 --sigchld 1 --kill 1", "--pids 100", "timeout"),
    "schedpolicy": Attack("--schedpolicy 1 --cyclic 1", "--pids 100", "timeout"),
    "cpu": Attack("--cpu 2", "--cpu-time 3s", "cpu-time"),
}

MAP = {
    "mmapmany": Attack("--mmapmany 1", "--memory 10M", "memory"),
    # Root's: all of its processes are immune, and the kernel finds nobody to kill. A user's: it finds one.
    "mmapfork": Attack("--mmapfork 1", "--memory 48M", "memory"),
    "mmapfork, a user's": Attack("--mmapfork 1", "--memory 48M", "memory", prefix=AS_USER),
    "brk": Attack("--brk 1", "--memory 64M", "timeout"),
    "remap": Attack("--remap 1", "--memory 64M", "timeout"),
    "userfaultfd": Attack("--userfaultfd 1", "--memory 64M", "timeout"),
}

LEAK = {
    "resources": Attack("--resources 1", "--memory 96M", "timeout", prefix=AS_USER),
    "oom-pipe": Attack("--oom-pipe 1 --pathological --aggressive", "--memory 48M", "memory"),
    "sockmany": Attack("--sockmany 1", "--memory 64M", "timeout"),
    "pipes": Attack("--fifo 1 --pipe 1", "--memory 64M", "timeout"),
    "its own end": Attack("--pipe 1 --timeout 1s", "--memory 64M", "completed"),
}


def stress_processes():
    """Of whoever: in the guest nobody else runs it. Zombies too."""
    return [pid for pid in all_pids() if process_comm(pid).startswith("stress-ng")]


def supervisor_figures(pid):
    """Open descriptors, and bytes of its own memory. Without huge pages: the kernel makes them of small ones as it likes."""
    kib = dict(re.findall(r"^(\w+): +(\d+) kB$", read_text(f"/proc/{pid}/smaps_rollup"), re.MULTILINE))
    return len(os.listdir(f"/proc/{pid}/fd")), (int(kib["Anonymous"]) - int(kib["AnonHugePages"])) * 1024


def forget_shared_memory(before):
    """What a killed process has left in /dev/shm and as System V segments belongs to nobody."""
    for name in set(os.listdir("/dev/shm")) - before:
        os.unlink(os.path.join("/dev/shm", name))
    subprocess.run(["ipcrm", "--all"], check=True)


class Storm(ScidexTest):
    """One table at once in one world, with one supervisor that is there before and after."""

    # It takes what the machine has, and looks at what is left on all of it.
    alone = True

    def setUp(self):
        super().setUp()
        signal.alarm(900)  # a table takes minutes, emulated
        require("memory-controller", "pids-controller", "root")
        self.addCleanup(forget_shared_memory, set(os.listdir("/dev/shm")))
        self.new_world().start_daemon()
        os.chmod(self.world.directory, 0o755)

    def attack(self, attack):
        scratch = tempfile.mkdtemp(dir=self.world.directory)
        os.chmod(scratch, 0o777)
        stress = attack.stress.split()
        if "--timeout" not in stress:
            stress += ["--timeout", "20m"]
        return self.start_scidex(
            "--grace", "2s", "--timeout", "10min", *attack.limits.split(), "--",
            *attack.prefix, "stress-ng", "--temp-path", scratch, *stress, cwd=scratch,
        )  # fmt: skip

    def storm(self, table):
        self.run_scidex("--", "true")
        pid = self.world.supervisor_pid()
        before = supervisor_figures(pid)
        names = list(table)
        for start in range(0, len(names), AT_ONCE):
            launches = {name: self.attack(table[name]) for name in names[start : start + AT_ONCE]}
            for name, launch in launches.items():
                if table[name].verdict == "timeout":
                    self.end_when_at_work(table[name], launch)
            for name, launch in launches.items():
                with self.subTest(name):
                    self.judge(name, table[name], launch.wait())
        self.assertEqual(stress_processes(), [])
        self.assertEqual(self.world.supervisor_pid(), pid)
        eventually(lambda: supervisor_figures(pid)[0] <= before[0], 5, "the supervisor has as many descriptors as before")
        self.assertLess(supervisor_figures(pid)[1] - before[1], SUPERVISOR_GROWTH_BYTES)

    def end_when_at_work(self, attack, launch):
        """Emulated, it takes seconds to get there: only then its time is set."""
        wanted = {f"stress-ng-{name}"[:15] for name in re.findall(r"--(\S+) [12]\b", attack.stress)}

        def is_at_work():
            if launch.process.poll() is not None:
                return True  # by itself: the verdict will not be the one that is wanted
            run = next((row for row in self.world.list() if row["launcher_pid"] == launch.pid), None)
            if run and attack.crowded:
                return " 0\n" not in read_text(os.path.join(run["group"], "pids.events"), " 0\n") and run
            return run and wanted <= {process_comm(pid) for pid in group_processes(run["group"])} and run

        run = eventually(is_at_work, 20, f"{attack.stress} is at work")
        if run is True:
            return
        age = time.time() - parse_time(run["launched_at"])
        with contextlib.suppress(ProtocolError), self.world.client() as client:
            client.call("set", run=run["run_id"], timeout_usec=int((age + WORK_SECONDS) * 1e6))

    def judge(self, name, attack, result):
        run = result.run
        self.tell(name, run, result)
        self.assert_verdict(result, attack.verdict)
        self.assert_status(result, STATUS[attack.verdict])
        self.assertEqual((run["enforcement"], run["not_enforced"]), ("kernel", []))
        self.assertFalse(os.path.exists(run["group"]), "the launcher returned before the group was gone")
        self.assert_recorded(run["run_id"], attack.verdict, events=None if attack.verdict != "completed" else [])
        self.judge_memory(attack, run, result)
        self.assertLessEqual(run["pids_peak"], run["pids_limit"])
        if attack.crowded:
            self.assertEqual(run["pids_peak"], run["pids_limit"], result)
            self.assertGreater(run["pids_max_events"], 0)
        if attack.verdict == "timeout":
            self.judge_times(run)
        if attack.verdict == "cpu-time":
            self.assertGreaterEqual(run["cpu_sec"], run["cpu_limit_sec"])
            self.assertLess(run["cpu_sec"], run["cpu_limit_sec"] + LATE_SECONDS)

    def judge_memory(self, attack, run, result):
        self.assertLessEqual(run["memory_peak_bytes"], run["memory_limit_bytes"] + FORCED_BYTES, result)
        self.assertEqual(run["swap_bytes"] or 0, 0)
        if attack.verdict == "memory":
            self.assertGreater(run["oom_events"], 0)
            self.assertGreater(run["memory_peak_bytes"], 0.98 * run["memory_limit_bytes"])
        else:
            self.assertEqual(run["oom_events"], 0, result)

    def judge_times(self, run):
        (event,) = self.world.events(run=run["run_id"])
        self.assertGreaterEqual(seconds_between(run["deadline_at"], event["decided_at"]), 0)
        self.assertLess(seconds_between(run["deadline_at"], event["decided_at"]), LATE_SECONDS)
        self.assertLess(seconds_between(event["term_at"], event["empty_at"]), run["grace_sec"] + LATE_SECONDS)
        self.assertEqual(event["signals"][0]["signal"], "TERM")
        if event["kill_at"]:
            self.assertGreaterEqual(seconds_between(event["term_at"], event["kill_at"]), run["grace_sec"])

    def tell(self, name, run, result):
        if os.environ.get("SCIDEX_STRESS_FIGURES") != "1":
            return
        events = self.world.events(run=run["run_id"])
        late = [f"{seconds_between(event['deadline_at'], event['decided_at']):.3f}" for event in events if event["reason"] == "timeout"]
        print(
            f"figures: {name:18} {run['verdict']:9} {result.status:3} {run['duration_sec']:6.2f} s"
            f"  memory {run['memory_peak_bytes'] / MIB:5.1f} of {run['memory_limit_bytes'] / MIB:.0f} MiB"
            f"  oom {run['oom_events']} oom_kill {run['oom_kill_events']}"
            f"  pids {run['pids_peak']} of {run['pids_limit']}, refused {run['pids_max_events']}"
            f"  {' '.join(signal['signal'] for event in events for signal in event['signals']):9}"
            f"  processes {[event['processes_killed'] for event in events]}  late {late}",
            flush=True,
        )


class Stress(Storm):
    def test_what_allocates_ends_at_its_memory_limit(self):
        self.storm(ALLOCATE)

    def test_what_shares_memory_ends_at_its_memory_limit(self):
        self.storm(SHARE)

    def test_what_forks_stays_within_its_processes_and_its_time(self):
        self.storm(FORK)

    def test_what_daemonises_stops_traces_and_schedules_ends_in_time(self):
        self.storm(ESCAPE)

    def test_what_maps_stays_within_its_memory(self):
        self.storm(MAP)

    def test_what_leaks_ends_at_its_limits(self):
        self.storm(LEAK)


class Leftovers(Storm):
    def test_daemons_and_sessions_that_outlive_the_run_are_one_event(self):
        launch = self.start_scidex(
            "--grace", "2s", "--", "sh", "-c",
            f"cd {self.world.directory}; stress-ng --daemon 2 --session 2 --timeout 5m & read word; exit 7", stdin=subprocess.PIPE,
        )  # fmt: skip
        group = launch.run()["group"]
        wanted = {"stress-ng-daemo", "stress-ng-sessi"}
        eventually(lambda: wanted <= {process_comm(pid) for pid in group_processes(group)}, 20, "both are at work")
        launch.process.stdin.write(b"go\n")
        result = launch.wait()
        self.assert_status(result, 7)
        self.assert_verdict(result, "failed")
        _, (event,) = self.assert_recorded(result.run["run_id"], "failed", events=["orphan"])
        self.assertGreaterEqual(event["processes_killed"], 3)
        self.assertFalse(os.path.exists(group))
        self.assertEqual([pid for pid in stress_processes() if process_state(pid) is not None], [])
