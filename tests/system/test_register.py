"""register, unregister and set under the system supervisor: who may, what moves where, what the kernel then holds."""

import os
import pwd
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import helper  # noqa: E402
from systemtest import (  # noqa: E402
    KEEPER,
    SUPERVISOR,
    SystemTest,
    as_user,
    eventually,
    group_processes,
    is_alive,
    main_pid,
    read_text,
)

MIB = 1 << 20


def cgroup_of(pid):
    return read_text(f"/proc/{pid}/cgroup").strip().partition("::")[2]


class RegisterTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        super().tearDown()

    def start_of(self, user, *words):
        """A process of that user's that is no run."""
        process = subprocess.Popen(
            words or ("sleep", "1000"), env=self.world.environment(user), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            cwd="/", **as_user(user),
        )  # fmt: skip
        self.processes.append(process)
        return process

    def register(self, user, pid, *options):
        answer = self.world.ctl_json("register", str(pid), *options, user=user)
        self.assertTrue(answer["ok"], answer)
        return answer["registered"][0]

    def refused(self, user, *words):
        """What scidexctl says when it is refused."""
        done = self.world.ctl(*words, user=user, check=False)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        return done.stderr

    def ended(self, run_id):
        return eventually(lambda: next((row for row in self.world.history() if row["run_id"] == run_id and row["verdict"]), None), 20)


class Register(RegisterTest):
    def test_alice_registers_her_own_tree_and_lets_go_of_it(self):
        process = self.start_of("alice", "sh", "-c", "sleep 1000 & echo $!; wait")
        child, home = int(process.stdout.readline()), cgroup_of(process.pid)
        answer = self.register("alice", process.pid, "--analysis-id", "SDA-42", "--memory", "100M", "--timeout", "10min")
        run = self.world.show(answer["run_id"])
        self.assertEqual((run["uid"], run["registered"], run["launcher_pid"], run["enforcement"]), (pwd.getpwnam("alice").pw_uid, True, None, "sampled"))
        self.assertEqual(sorted(group_processes(run["group"])), sorted([process.pid, child]))
        self.assertTrue(os.path.basename(run["group"]).startswith("SDA-42-"))
        self.assertEqual(read_text(run["group"] + "/memory.max").strip(), str(100 * MIB))
        self.world.ctl("unregister", "SDA-42", user="alice")
        self.assertEqual({cgroup_of(process.pid), cgroup_of(child)}, {home})
        self.assertTrue(is_alive(process.pid) and is_alive(child))
        row = self.ended(run["run_id"])
        self.assertEqual((row["verdict"], row["detail"]), ("lost", "unregistered"))
        os.kill(child, signal.SIGKILL)
        process.wait(60)  # the shell collects it and ends

    def test_memory_of_before_and_after_counts(self):
        process = self.start_of("alice", helper("leaker"), "anon", "80", "0")
        self.assertEqual(process.stdout.readline(), b"holds\n")
        run_id = self.register("alice", process.pid, "--memory", "40M", "--grace", "1s")["run_id"]
        process.wait(60)
        run, (event,) = self.assert_recorded(run_id, "memory")
        self.assertEqual(run["detail"], "sampled")

    def test_others_processes_are_refused_and_stay_where_they_are(self):
        bobs, roots = self.start_of("bob"), self.start_of("root")
        homes = cgroup_of(bobs.pid), cgroup_of(roots.pid)
        for user in ("alice", "dave"):
            for pid in (bobs.pid, roots.pid):
                self.assertIn("not yours", self.refused(user, "register", str(pid), "--timeout", "1s"))
        for pid in (1, main_pid(SUPERVISOR), main_pid(KEEPER), self.world.recorder_pid()):
            for user in ("alice", "root"):
                self.refused(user, "register", str(pid))
        self.assertEqual((cgroup_of(bobs.pid), cgroup_of(roots.pid)), homes)
        self.assertEqual(self.world.groups(), [])

    def test_a_program_with_other_rights_is_not_hers(self):
        process = self.start_of("root", "setpriv", f"--ruid={pwd.getpwnam('alice').pw_uid}", "--euid=0", "sleep", "1000")
        eventually(lambda: read_text(f"/proc/{process.pid}/comm") == "sleep\n")
        self.assertIn("not yours", self.refused("alice", "register", str(process.pid)))

    def test_what_root_has_registered_its_owner_can_end_but_not_let_go(self):
        process = self.start_of("bob")
        run_id = self.register("root", process.pid, "--timeout", "10min")["run_id"]
        self.assertEqual([row["run_id"] for row in self.world.ctl_json("list", user="bob")["runs"]], [run_id])
        self.assertIn("root has registered it", self.refused("bob", "unregister", run_id))
        self.assertIn("root has registered it", self.refused("bob", "set", run_id, "--timeout", "infinity"))
        self.world.ctl("kill", run_id, user="bob")
        process.wait(60)
        self.assert_recorded(run_id, "cancelled")

    def test_it_survives_the_supervisor(self):
        process = self.start_of("alice")
        run_id = self.register("alice", process.pid, "--timeout", "10min")["run_id"]
        before = self.world.show(run_id)
        self.world.wait_ready(other_than=self.world.kill_service())
        after = self.world.show(run_id)
        for member in ("pid", "group", "deadline_at", "registered", "uid", "state"):
            self.assertEqual(after[member], before[member])
        self.world.ctl("unregister", run_id, user="alice")
        self.assertTrue(is_alive(process.pid))


class Set(RegisterTest):
    def start_run(self, *options):
        launch = self.world.start(*options, "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        return launch

    def end(self, launch):
        self.world.kill(launch.run_id())
        launch.wait()

    def test_the_owner_and_an_admin_may_another_user_may_not(self):
        launch = self.start_run("--timeout", "10min")
        run_id = launch.run_id()
        self.assertIn("time limit 20min (was 10min)", self.world.ctl("set", run_id, "--timeout", "20min", user="alice").stdout)
        done = self.world.ctl("set", run_id, "--timeout", "1s", user="bob", check=False)
        self.assertIn(done.returncode, (1, 4))
        self.assertIn("scidex", self.refused("mallory", "set", run_id, "--timeout", "1s"))
        self.assertEqual(self.world.show(run_id)["timeout_sec"], 1200)
        self.world.ctl("set", run_id, "--timeout", "30min", user="dave")
        self.assertEqual(self.world.show(run_id)["timeout_sec"], 1800)
        self.end(launch)

    def test_less_memory_ends_it_and_the_event_says_the_new_limit(self):
        launch = self.world.start("--memory", "400M", "--", helper("leaker"), "anon", "100", "0")
        self.assertEqual(launch.read_line(), "holds")
        run_id = launch.run_id()
        self.world.ctl("set", run_id, "--memory", "40M", user="alice")
        self.assert_status(launch.wait(), 137)
        run, (event,) = self.assert_recorded(run_id, "memory")
        self.assertEqual((run["enforcement"], event["memory_limit_bytes"]), ("kernel", 40 * MIB))
        self.assertTrue(event["evidence"]["by_kernel"])

    def test_the_kernel_has_the_new_limit(self):
        launch = self.start_run("--memory", "400M")
        run_id = launch.run_id()
        self.world.ctl("set", run_id, "--memory", "50M", user="alice")
        group = self.world.show(run_id)["group"]
        self.assertEqual(read_text(group + "/memory.max").strip(), str(50 * MIB))
        self.assertEqual(self.world.show(run_id)["state"], "running")
        self.world.ctl("set", run_id, "--memory", "infinity", user="dave")
        self.assertEqual(read_text(group + "/memory.max").strip(), "max")
        self.end(launch)

    def test_new_limits_outlive_the_supervisor(self):
        launch = self.start_run("--timeout", "10min", "--memory", "400M")
        run_id = launch.run_id()
        self.world.ctl("set", run_id, "--timeout", "20min", "--memory", "200M", "--grace", "3s", user="alice")
        self.world.wait_ready(other_than=self.world.kill_service())
        run = self.world.show(run_id)
        self.assertEqual((run["timeout_sec"], run["memory_limit_bytes"], run["grace_sec"]), (1200, 200 * MIB, 3))
        self.end(launch)


class Pressure(RegisterTest):
    def test_an_ordinary_users_run_hears_of_pressure(self):
        result = self.world.run("--memory", "400M", "--memory-high", "80M", "--", helper("pressed"), "160")
        self.assertEqual(result.stdout, b"armed\npressure\n", str(result))
        self.assert_status(result, 0)

    def test_the_file_is_the_users_and_nothing_else_of_the_group_is(self):
        launch = self.world.start("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        group, alice = launch.run()["group"], pwd.getpwnam("alice").pw_uid
        owned = [name for name in os.listdir(group) if os.stat(os.path.join(group, name)).st_uid == alice]
        self.assertEqual(owned, ["memory.pressure"])
        self.assertEqual(os.stat(group).st_uid, 0)
        self.world.kill(launch.run_id())
        launch.wait()
