"""What runs already comes under supervision, is held to limits, and is let go again; and live runs get other limits."""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    REPO,
    SLOW,
    ProtocolError,
    ScidexTest,
    children_of,
    eventually,
    group_processes,
    helper,
    is_alive,
    needs,
    process_comm,
    process_state,
    read_text,
    reap,
    require,
    seconds_between,
)


def cgroup_of(pid):
    """Path of the v2 cgroup of a process."""
    for line in read_text(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None


class Registering(ScidexTest):
    """A supervisor that stays, and processes that it has not started."""

    def setUp(self):
        super().setUp()
        require("groups")
        self.processes = []
        self.new_world().start_daemon()

    def tearDown(self):
        for process in self.processes:
            process.stdout.close()
            if process.stdin:
                process.stdin.close()
            process.kill()
            process.wait()
        # What they have left behind is ours now (subreaper), and not the supervisor's fault.
        for pid in iter(self.orphan, None):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        super().tearDown()

    def orphan(self):
        return next((pid for pid in children_of(os.getpid()) if process_comm(pid) in ("sh", "sleep", "leaker")), None)

    def start(self, *command, **options):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=self.world.environment(), **options)
        self.processes.append(process)
        return process

    def start_tree(self):
        """A shell with a child and a grandchild; its pid, and all three."""
        process = self.start("sh", "-c", 'sh -c "sleep 1000 & echo \\$!; wait" & echo $!; wait')
        pids = [process.pid] + [int(process.stdout.readline()) for _ in range(2)]
        return process, sorted(pids)

    def ctl(self, *arguments, status=0):
        result = subprocess.run(
            [self.world.program("scidexctl"), *(str(word) for word in arguments)],
            env=self.world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def restart(self, meanwhile=lambda: None):
        """kill -9 of the supervisor, and the next one; meanwhile() is called between the two."""
        recorder = next(pid for pid in children_of(self.world.daemon.pid) if process_comm(pid) == "scidex-recorder")
        self.world.daemon.kill()
        self.world.daemon.wait()
        eventually(lambda: reap(recorder) or not is_alive(recorder), 15, "the recorder ends with its supervisor")
        meanwhile()
        self.world.start_daemon()

    def register(self, pid, *options):
        return json.loads(self.ctl("register", pid, *options, "--json"))["registered"][0]

    def ended(self, run_id):
        """Its row once it is in the record."""

        def row():
            rows = [row for row in self.world.history() if row["run_id"] == run_id and row["verdict"]]
            return rows and rows[0]

        return eventually(row, 20, "the run is recorded")


class Register(Registering):
    def test_the_whole_tree_is_taken_over_and_told(self):
        process, pids = self.start_tree()
        answer = self.register(process.pid, "--analysis-id", "SDA-42", "--memory", "300M", "--timeout", "5min", "--label", "a=b")
        self.assertEqual(answer["processes"], 3)
        run = self.world.show("SDA-42")
        self.assertEqual(sorted(group_processes(run["group"])), pids)
        self.assertEqual((run["pid"], run["launcher_pid"], run["registered"], run["state"]), (process.pid, None, True, "running"))
        self.assertEqual((run["enforcement"], run["memory_limit_bytes"], run["timeout_sec"]), ("sampled", 300 << 20, 300))
        self.assertEqual(run["labels"], {"a": "b"})
        self.assertIn("sleep 1000", run["cmdline"])
        self.assertEqual(run["uid"], os.getuid())

    def test_the_example_client_registers_lists_and_kills_it(self):
        process, pids = self.start_tree()
        client = [sys.executable, os.path.join(REPO, "examples", "client.py")]
        environment = {"SCIDEX_SOCKET": self.world.socket}
        registered = subprocess.run(
            [*client, "register", str(process.pid), "SDA-9", str(1 << 30), "600"], env=environment, capture_output=True, text=True
        )
        self.assertEqual(registered.returncode, 0, registered.stderr)
        run_id = registered.stdout.strip()
        run = self.world.show(run_id)
        self.assertEqual(sorted(group_processes(run["group"])), pids)
        self.assertEqual((run["analysis_id"], run["memory_limit_bytes"], run["timeout_sec"]), ("SDA-9", 1 << 30, 600))
        self.assertEqual(subprocess.check_output([*client, "list"], env=environment, text=True), f"{run_id} running SDA-9\n")
        self.assertEqual(subprocess.check_output([*client, "kill", "SDA-9"], env=environment, text=True), f"{run_id}\n")
        process.wait(20 * SLOW)
        self.assert_gone(pids)
        self.assert_recorded(run_id, "cancelled")

    def test_its_time_is_over_and_all_of_it_ends(self):
        process, pids = self.start_tree()
        run_id = self.register(process.pid, "--timeout", "1s", "--grace", "1s")["run_id"]
        process.wait(20 * SLOW)
        self.assert_gone(pids)
        run, (event,) = self.assert_recorded(run_id, "timeout")
        self.assertEqual(event["processes_killed"], 3)
        self.assertTrue(run["registered"])
        self.assertAlmostEqual(seconds_between(run["launched_at"], event["term_at"]), 1, delta=0.5 * SLOW)

    def test_memory_of_before_counts(self):
        process = self.start(helper("leaker"), "anon", "120", "0")
        self.assertEqual(process.stdout.readline(), b"holds\n")
        run_id = self.register(process.pid, "--memory", "60M", "--grace", "1s")["run_id"]
        process.wait(20 * SLOW)
        run, (event,) = self.assert_recorded(run_id, "memory")
        self.assertEqual(run["detail"], "sampled")
        self.assertGreater(event["evidence"]["pss_bytes"], 100 << 20)

    @needs("root")
    def test_another_users_memory_is_measured_aside_and_counts_the_same(self):
        process = self.start(helper("leaker"), "anon", "120", "0", user=65534, group=65534, extra_groups=[])
        self.assertEqual(process.stdout.readline(), b"holds\n")
        run_id = self.register(process.pid, "--memory", "200M", "--grace", "1s")["run_id"]
        run = eventually(lambda: (row := self.world.show(run_id))["memory_bytes"] and row, 20)
        self.assertEqual(run["uid"], 65534)
        self.assertGreater(run["memory_bytes"], 100 << 20)
        self.ctl("set", run_id, "--memory", "60M")
        process.wait(20 * SLOW)
        self.assert_recorded(run_id, "memory")

    def test_an_end_of_its_own_is_known_while_it_is_a_zombie(self):
        process = self.start("sh", "-c", "echo ready; read line; exit 7")
        run_id = self.register(process.pid)["run_id"]
        process.stdin.close()  # we, the parent, do not look before the supervisor has
        run = self.ended(run_id)
        self.assertEqual(process_state(process.pid), "Z")
        self.assertEqual((run["verdict"], run["exit_status"]), ("failed", 7))

    def test_its_end_is_known_whatever_tells_of_it_first(self):
        process = self.start("sh", "-c", "echo ready; read line; exit 7")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        run_id = self.register(process.pid, "--timeout", f"{2 * SLOW}s")["run_id"]
        deadline = time.monotonic() + 2 * SLOW
        supervisor = self.world.supervisor_pid()
        os.kill(supervisor, signal.SIGSTOP)
        process.stdin.close()
        eventually(lambda: process_state(process.pid) == "Z", 20, "it ends before its deadline")
        self.assertLess(time.monotonic(), deadline, "it has ended in time")
        time.sleep(deadline - time.monotonic() + 0.1)
        os.kill(supervisor, signal.SIGCONT)  # its deadline is what it sees first
        run = self.ended(run_id)
        self.assertEqual((run["verdict"], run["exit_status"], run["detail"]), ("failed", 7, None))

    def test_its_end_without_a_supervisor_is_known_while_it_is_a_zombie(self):
        process = self.start("sh", "-c", "echo ready; read line; exit 7")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        run_id = self.register(process.pid)["run_id"]

        def end():
            process.stdin.close()
            eventually(lambda: process_state(process.pid) == "Z", 20, "it ends")

        self.restart(end)
        run = self.ended(run_id)
        self.assertEqual((run["verdict"], run["exit_status"], run["detail"]), ("failed", 7, None))

    def test_its_parent_was_quicker_and_the_verdict_says_so(self):
        process = self.start("sleep", "1000")
        run_id = self.register(process.pid)["run_id"]
        os.kill(self.world.supervisor_pid(), signal.SIGSTOP)
        process.kill()
        process.wait()
        os.kill(self.world.daemon.pid, signal.SIGCONT)
        run = self.ended(run_id)
        if run["verdict"] == "crashed":  # Linux 6.15 and later tell it to who holds a pidfd
            self.assertEqual(run["exit_signal"], "KILL")
        else:
            self.assertEqual((run["verdict"], run["detail"]), ("lost", "registered: only its parent knows the exit status"))

    def test_what_outlives_it_is_ended_as_leftovers(self):
        process = self.start("sh", "-c", "sleep 1000 & echo $!; read line; exit 0")
        child = int(process.stdout.readline())
        run_id = self.register(process.pid)["run_id"]
        process.stdin.close()
        process.wait(20 * SLOW)
        self.assert_gone([child])
        run = self.ended(run_id)
        (event,) = self.world.events(run=run_id)
        self.assertEqual(event["reason"], "orphan")
        self.assertIn(run["verdict"], ("completed", "lost"))

    def test_kill_ends_it(self):
        process, pids = self.start_tree()
        run_id = self.register(process.pid)["run_id"]
        self.ctl("kill", run_id)
        process.wait(20 * SLOW)
        self.assert_gone(pids)
        self.assert_recorded(run_id, "cancelled")

    def test_it_is_not_orphaned_by_a_restart_and_keeps_everything(self):
        process, pids = self.start_tree()
        run_id = self.register(process.pid, "--timeout", "5min")["run_id"]
        before = self.world.show(run_id)
        self.restart()
        after = self.world.show(run_id)
        for member in ("run_id", "pid", "registered", "launcher_pid", "group", "deadline_at", "enforcement", "uid", "state"):
            self.assertEqual(after[member], before[member], member)
        self.assertTrue(all(is_alive(pid) for pid in pids))
        self.ctl("unregister", run_id)
        self.assertEqual(self.ended(run_id)["detail"], "unregistered")
        self.assertTrue(all(is_alive(pid) for pid in pids))

    def test_a_supervisor_that_died_in_the_middle_leaves_no_half_taken_tree(self):
        for attribute in ("main", "letting_go"):
            with self.subTest(attribute):
                process, pids = self.start_tree()
                home = cgroup_of(process.pid)
                run = self.world.show(self.register(process.pid)["run_id"])
                os.kill(self.world.daemon.pid, signal.SIGSTOP)
                if attribute == "main":  # moved, and not yet noted
                    os.removexattr(run["group"], "user.scidex.main")
                else:  # noted that it is to be let go, and nobody moved
                    noted = json.loads(os.getxattr(run["group"], "user.scidex.run"))
                    noted["letting_go"] = True
                    os.setxattr(run["group"], "user.scidex.run", json.dumps(noted).encode())
                self.restart()
                eventually(lambda: {cgroup_of(pid) for pid in pids} == {home}, 10)
                self.assertTrue(all(is_alive(pid) for pid in pids))
                self.assertEqual(self.ended(run["run_id"])["detail"], "unregistered")
                eventually(lambda: not os.path.exists(run["group"]), 10)

    def test_what_may_not_be_registered(self):
        process, _ = self.start_tree()
        run_id = self.register(process.pid)["run_id"]
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        for pid, says in (
            (1, "keeps the host"),
            (2 if read_text("/proc/2/comm", "") == "kthreadd\n" else 1, "keeps the host"),
            (self.world.supervisor_pid(), "does not end itself"),
            (self.world.recorder_pid(), "does not end itself"),
            (process.pid, "belongs to a run already"),
            (launch.main_pid(), "belongs to a run already"),
        ):
            with self.subTest(pid=pid):
                answer = self.ctl("register", pid, status=4)
                self.assertIn(says, answer)
                self.assertIn(f"(pid {pid}", answer)
        self.assertIn("no such process", self.ctl("register", 4194303, status=1))
        self.assertIn("no process id", self.ctl("register", "x", status=2))
        with self.world.client() as client, self.assertRaises(ProtocolError) as refused:
            client.call("register", pid=os.getpid(), start_ticks=1, request={})
        self.assertEqual(refused.exception.code, "gone")
        self.assertEqual({row["run_id"] for row in self.world.list()}, {run_id, launch.run_id()})
        self.world.kill(launch.run_id())
        launch.wait()

    def test_a_refusal_makes_no_group(self):
        before = self.world.groups()
        self.ctl("register", os.getppid() if os.getppid() > 1 else 1, "--timeout", "0s", status=2)
        self.assertEqual(self.world.groups(), before)

    def test_a_child_that_is_a_run_of_its_own_stays_one(self):
        script = f"{self.world.program('scidex-run')} --quiet -- sh -c 'echo ready; exec sleep 1000'; true"
        process = self.start("sh", "-c", script)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        (inner,) = self.world.list()
        run = self.world.show(self.register(process.pid)["run_id"])
        self.assertNotIn(inner["pid"], group_processes(run["group"]))
        self.assertEqual(self.world.show(inner["run_id"])["group"], inner["group"])
        self.world.kill(inner["run_id"])
        process.wait(20 * SLOW)
        self.ended(run["run_id"])

    def test_a_fork_storm_is_taken_over_whole(self):
        process = self.start("sh", "-c", "echo ready; while :; do (sleep 0.05 &) ; sleep 0.01; (sh -c 'sleep 0.02' &); done")
        process.stdout.readline()
        run_id = self.register(process.pid, "--grace", "0s")["run_id"]
        self.ctl("kill", run_id)
        process.wait(20 * SLOW)
        self.assert_recorded(run_id, "cancelled")


class Unregister(Registering):
    def test_nothing_is_ended_and_all_go_back_where_they_were(self):
        process, pids = self.start_tree()
        home = cgroup_of(process.pid)
        run_id = self.register(process.pid)["run_id"]
        group = self.world.show(run_id)["group"]
        self.assertNotEqual(cgroup_of(process.pid), home)
        self.assertIn("let go", self.ctl("unregister", run_id))
        self.assertTrue(all(is_alive(pid) for pid in pids))
        self.assertEqual({cgroup_of(pid) for pid in pids}, {home})
        run = self.ended(run_id)
        self.assertEqual((run["verdict"], run["detail"], run["events"]), ("lost", "unregistered", 0))
        eventually(lambda: not os.path.exists(group), 10, "its group is removed")

    def test_more_than_can_be_moved_at_once_stay(self):
        many = """
import os, signal, sys
sys.stdin.read(1)
children = [os.fork() or signal.pause() for _ in range(1100)]
print("forked", flush=True)
sys.stdin.read(1)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
        process = self.start(sys.executable, "-c", many)
        run_id = self.register(process.pid)["run_id"]
        inside = cgroup_of(process.pid)
        process.stdin.write(b"x")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"forked\n")
        with self.world.client() as client, self.assertRaisesRegex(ProtocolError, "busy: it has more processes"):
            client.call("unregister", run=run_id)
        self.assertEqual(cgroup_of(process.pid), inside)
        self.assertEqual(self.world.show(run_id)["state"], "running")
        process.stdin.write(b"x")
        process.stdin.flush()
        self.ended(run_id)

    def test_it_can_be_registered_again(self):
        process, _ = self.start_tree()
        first = self.register(process.pid)["run_id"]
        self.ctl("unregister", first)
        second = self.register(process.pid)["run_id"]
        self.assertNotEqual(first, second)
        self.assertEqual(self.world.show(second)["state"], "running")

    def test_its_home_is_gone_and_the_nearest_above_takes_it(self):
        parent = os.path.join(self.world.tree_parent, "home")
        os.makedirs(os.path.join(parent, "deep"))
        process = self.start("sleep", "1000")
        with open(os.path.join(parent, "deep", "cgroup.procs"), "w", encoding="utf-8") as file:
            file.write(str(process.pid))
        run_id = self.register(process.pid)["run_id"]
        os.rmdir(os.path.join(parent, "deep"))
        self.ctl("unregister", run_id)
        self.assertTrue(cgroup_of(process.pid).endswith("/home"), cgroup_of(process.pid))
        process.kill()
        process.wait()
        os.rmdir(parent)

    def test_a_launched_run_is_not_let_go(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        self.assertIn("only what was registered", self.ctl("unregister", launch.run_id(), status=4))
        self.world.kill(launch.run_id())
        launch.wait()

    def test_with_a_run_inside_it_is_refused(self):
        go = os.path.join(self.world.directory, "go")
        os.mkfifo(go)
        script = f"echo ready; read line <{go}; {self.world.program('scidex-run')} --quiet -- sh -c 'echo inside; exec sleep 1000'; exec sleep 1000"
        process = self.start("sh", "-c", script)
        process.stdout.readline()
        run_id = self.register(process.pid)["run_id"]
        with open(go, "w", encoding="utf-8") as file:
            file.write("\n")
        self.assertEqual(process.stdout.readline(), b"inside\n")
        inner = next(row for row in self.world.list() if row["outer_run_id"] == run_id)
        self.assertIn("runs inside", self.ctl("unregister", run_id, status=4))
        self.world.kill(inner["run_id"])
        self.ended(inner["run_id"])
        eventually(lambda: self.is_let_go(run_id), 10, "it is let go")
        self.assertTrue(is_alive(process.pid))

    def is_let_go(self, run_id):
        """Asks for it. The row of a run inside it is written before its group is removed: until then it is refused."""
        with self.world.client() as client:
            try:
                return client.call("unregister", run=run_id)
            except ProtocolError as error:
                if error.code != "busy":
                    raise
        return None


class Set(Registering):
    def start_run(self, *options, script="echo ready; exec sleep 1000"):
        launch = self.start_scidex(*options, "--", "sh", "-c", script)
        launch.read_line()
        return launch

    def test_limits_change_and_the_answer_tells_what_they_were(self):
        launch = self.start_run("--timeout", "5min", "--memory", "300M", "--analysis-id", "SDA-42")
        said = self.ctl("set", "SDA-42", "--timeout", "2h", "--memory", "1G", "--grace", "3s")
        self.assertIn("time limit 2h (was 5min), memory limit 1.0 GiB (was 300 MiB), grace 3s (was 10s)", said)
        run = launch.run()
        self.assertEqual((run["timeout_sec"], run["memory_limit_bytes"], run["grace_sec"]), (7200, 1 << 30, 3))
        self.assertAlmostEqual(seconds_between(run["launched_at"], run["deadline_at"]), 7200, places=3)
        answer = json.loads(self.ctl("set", "SDA-42", "--timeout", "infinity", "--json"))
        self.assertEqual((answer["was"]["timeout_usec"], answer["request"]["timeout_usec"]), (7200 * 10**6, None))
        self.assertIsNone(answer["deadline_at"])
        self.world.kill(launch.run_id())
        launch.wait()

    def test_a_longer_time_keeps_it_alive_also_for_the_launchers_backstop(self):
        # The launcher's own backstop would come 5 s after the old limit and grace.
        limit = max(3, SLOW // 2)
        launch = self.start_run("--timeout", f"{limit}s", "--grace", "0s", script=f"echo ready; sleep {limit + 6}; exit 5")
        self.ctl("set", launch.run_id(), "--timeout", "5min")
        self.assert_status(launch.wait(), 5)

    def test_a_time_that_is_over_ends_it_now(self):
        launch = self.start_run()
        time.sleep(0.02)
        said = self.ctl("set", launch.run_id(), "--timeout", "10ms")
        self.assertIn("is over already", said)
        result = launch.wait()
        self.assert_status(result, 124)
        run, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual(event["timeout_sec"], 0.01)

    def test_it_holds_after_a_restart(self):
        launch = self.start_run("--timeout", "5min")
        run_id = launch.run_id()
        self.ctl("set", run_id, "--timeout", "2h", "--memory", "1G")
        self.restart()
        run = self.world.show(run_id)
        self.assertEqual((run["timeout_sec"], run["memory_limit_bytes"]), (7200, 1 << 30))
        self.world.kill(run_id)
        launch.wait()

    def test_less_memory_ends_what_holds_more(self):
        launch = self.start_scidex("--memory", "1G", "--grace", "1s", "--", helper("leaker"), "anon", "200", "0")
        self.assertEqual(launch.read_line(), "holds")
        run_id = launch.run_id()
        self.ctl("set", run_id, "--memory", "60M")
        self.assert_status(launch.wait(), 137)
        run, (event,) = self.assert_recorded(run_id, "memory")
        self.assertEqual((run["memory_limit_bytes"], event["memory_limit_bytes"]), (60 << 20, 60 << 20))

    def test_limits_of_nothing_become_limits(self):
        launch = self.start_scidex("--memory", "infinity", "--grace", "1s", "--", helper("leaker"), "anon", "200", "0")
        self.assertEqual(launch.read_line(), "holds")
        self.ctl("set", launch.run_id(), "--memory", "60M")
        self.assert_status(launch.wait(), 137)

    @needs("memory-controller")
    def test_the_kernel_has_the_new_limit(self):
        launch = self.start_run("--memory", "300M")
        self.ctl("set", launch.run_id(), "--memory", "100M")
        group = launch.run()["group"]
        eventually(lambda: read_text(os.path.join(group, "memory.max")).strip() == str(100 << 20), 10)
        self.ctl("set", launch.run_id(), "--memory", "infinity")
        self.assertEqual(read_text(os.path.join(group, "memory.max")).strip(), "max")
        self.world.kill(launch.run_id())
        launch.wait()

    def test_what_makes_no_sense_changes_nothing(self):
        launch = self.start_run("--memory", "300M", "--memory-high", "200M")
        before = launch.run()
        for options, says, status in (
            ((), "needs a limit", 2),
            (("--timeout", "30"), "--timeout", 2),
            (("--timeout", "0s"), "timeout 0", 2),
            (("--memory", "100M"), "memory-high", 2),
            (("--grace", "25h"), "grace", 2),
        ):
            with self.subTest(options=options):
                self.assertIn(says, self.ctl("set", launch.run_id(), *options, status=status))
        after = launch.run()
        for member in ("timeout_sec", "memory_limit_bytes", "grace_sec"):
            self.assertEqual(after[member], before[member])
        self.assertIn("no live run", self.ctl("set", "nobody", "--timeout", "5min", status=1))
        self.world.kill(launch.run_id())
        launch.wait()

    def test_a_run_can_not_set_limits(self):
        ctl = self.world.program("scidexctl")
        result = self.run_scidex("--analysis-id", "self", "--", ctl, "set", "self", "--timeout", "5h")
        self.assert_status(result, 4)
        self.assertIn("a run may not ask for that", result.stderr)

    def test_a_nested_run_gets_other_limits_too(self):
        inner = f"exec {self.world.program('scidex-run')} --analysis-id inner -- sh -c 'echo ready; exec sleep 1000'"
        launch = self.start_scidex("--", "sh", "-c", inner)
        launch.read_line()
        self.ctl("set", "inner", "--timeout", "10ms", "--grace", "1s")
        result = launch.wait()
        self.assert_status(result, 124)
        self.assert_recorded(result.run["run_id"], "failed", events=[])
