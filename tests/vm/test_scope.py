"""The tree that scidex finds by itself: a scope of systemd's, or `scidex` at the mount where systemd is not."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest, cgroup_mount, eventually, helper, is_alive, needs, read_text, reap, require  # noqa: E402


class DefaultTree(ScidexTest):
    alone = True  # systemd is everybody's, and starts anew here

    def setUp(self):
        super().setUp()
        require("root", "memory-controller")
        self.new_world(tree=False)

    def tree(self):
        return self.world.status()["tree"]

    def start_waiting(self, *options):
        launch = self.start_scidex(*options, "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        return launch

    def end(self, launch):
        self.world.kill(launch.run_id())
        self.assert_status(launch.wait(), 143)


class Scope(DefaultTree):
    def setUp(self):
        super().setUp()
        require("systemd")

    def systemctl(self, *arguments):
        return subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_the_tree_is_a_delegated_scope(self):
        launch = self.start_waiting("--memory", "200M")
        tree, run = self.tree(), launch.run()
        self.assertEqual(tree["kind"], "scope")
        self.assertTrue(tree["memory"] and tree["pids"])
        self.assertTrue(run["group"].startswith(tree["path"] + "/"))
        self.assertIn(".scope", tree["path"])
        unit = os.path.basename(tree["path"])
        self.assertEqual(self.systemctl("show", "-P", "Delegate", unit).stdout.strip(), "yes")
        self.end(launch)

    def test_limits_are_kept_by_the_kernel(self):
        result = self.run_scidex("--memory", "64M", "--require=kernel", "--", helper("leaker"), "anon", "300", "0")
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")

    def test_daemon_reload_and_reexec_leave_runs_and_limits_alone(self):
        launch = self.start_waiting("--memory", "200M")
        group = launch.run()["group"]
        before = read_text(os.path.join(group, "memory.max"))
        for verb in ("daemon-reload", "daemon-reexec"):
            self.assertEqual(self.systemctl(verb).returncode, 0)
            self.assertEqual(read_text(os.path.join(group, "memory.max")), before)
            self.assertEqual(launch.run()["state"], "running")
        self.end(launch)

    def test_the_scope_outlives_a_killed_supervisor_and_the_next_adopts_its_runs(self):
        launch = self.start_waiting()
        run, tree, old = launch.run(), self.tree(), self.world.supervisor_pid()
        os.kill(old, signal.SIGKILL)
        eventually(lambda: reap(old) or not is_alive(old), 10)
        eventually(lambda: self.world.supervisor_pid() not in (None, old), 20)
        self.assertEqual(self.tree()["path"], tree["path"])
        self.assertEqual(launch.run()["run_id"], run["run_id"])
        self.end(launch)

    def test_nothing_of_it_stays_when_the_supervisor_has_ended(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        path = self.tree()["path"]
        self.world.stop_supervisor()
        eventually(lambda: not os.path.isdir(path), 15, "the scope goes with its last process")


class Mount(DefaultTree):
    def setUp(self):
        super().setUp()
        require("bare")

    def test_the_tree_is_scidex_at_the_mount(self):
        launch = self.start_waiting()
        tree = self.tree()
        self.assertEqual((tree["kind"], tree["path"]), ("mount", os.path.join(cgroup_mount(), "scidex")))
        self.assertTrue(launch.run()["group"].startswith(tree["path"] + "/"))
        self.end(launch)
        self.world.stop_supervisor()
        self.assertFalse(os.path.isdir(tree["path"]), "the empty tree is removed")

    def test_a_second_supervisor_of_the_same_tree_is_refused(self):
        launch = self.start_waiting()
        other = os.path.join(self.world.directory, "other")
        result = self.world.run("--", "echo", "ran", report=False, env={"SCIDEX_SOCKET": other})
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(launch.run()["state"], "running")
        self.end(launch)

    @needs("pids-controller", "cpu-controller", "io-controller")
    def test_all_controllers_are_handed_down(self):
        launch = self.start_waiting("--memory", "200M", "--pids", "77", "--cpus", "1.5")
        group = launch.run()["group"]
        for name, value in (("memory.max", str(200 << 20)), ("memory.swap.max", "0"), ("memory.oom.group", "1"), ("pids.max", "77"), ("cpu.max", "150000 100000")):
            with self.subTest(file=name):
                self.assertEqual(read_text(os.path.join(group, name)).strip(), value)
        self.end(launch)
