"""The verbs of scidexctl that make something of what the supervisor, the record and the kernel say: suggest, report, tree."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest, eventually, group_processes, needs, process_comm, read_text  # noqa: E402
from terminal import Terminal  # noqa: E402


class Verbs(ScidexTest):
    def ctl(self, *arguments, status=0):
        world = self.here()
        done = subprocess.run(
            [world.program("scidexctl"), *arguments], env=world.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, (arguments, done.stdout, done.stderr))
        return done

    def json(self, *arguments, status=0):
        return json.loads(self.ctl(*arguments, "--json", status=status).stdout)

    def test_what_is_suggested_rests_on_the_runs_that_were_and_can_be_pasted(self):
        for _ in range(9):
            self.assert_status(self.run_scidex("--analysis-id", "SDA-7", "--", "true"), 0)
        self.assertIn("This is thin: it rests on 9 runs", self.ctl("suggest", "SDA-7").stdout)
        self.assert_status(self.run_scidex("--analysis-id", "SDA-7", "--timeout", "300ms", "--", "sleep", "1000"), 124)
        self.assert_status(self.run_scidex("--analysis-id", "other", "--", "true"), 0)
        answer = self.json("suggest", "SDA-7")["suggestion"]
        self.assertEqual((answer["runs"], answer["thin"]), (10, False))
        self.assertEqual(answer["verdicts"], {"completed": 9, "timeout": 1})
        self.assertEqual(answer["censored"], {"memory": 0, "time": 1, "otherwise": 0})
        # Nearest rank of ten is the tenth: the one that was cut off.
        durations = sorted(run["duration_sec"] for run in self.json("history", "--analysis", "SDA-7")["runs"])
        self.assertEqual(len(durations), 10)
        self.assertAlmostEqual(answer["duration"]["p95_sec"], durations[9], places=5)
        self.assertEqual(answer["duration"]["bias"], "low")
        text = self.ctl("suggest", "SDA-7").stdout
        self.assertNotIn("thin", text)
        self.assertIn("killed for time (1)", text)
        command = text.splitlines()[-1].split()
        self.assertEqual((command[0], command[-2:]), ("scidex-run", ["--", "COMMAND"]))
        self.assert_status(self.run_scidex(*command[1:-1], "true"), 0)

    def test_what_is_pasted_is_of_the_same_analysis_whatever_its_id(self):
        for hostile in ("a b;$(touch x)'\"\\", "\x1b[31m\\'\u202e\n$(touch x)"):
            self.assert_status(self.run_scidex("--analysis-id", hostile, "--", "true"), 0)
            text = self.ctl("suggest", hostile).stdout
            self.assertFalse(set(text) & set("\x1b\u202e"))
            line = text.splitlines()[-1].replace("COMMAND", "true").replace("scidex-run", self.world.program("scidex-run") + " --quiet", 1)
            subprocess.run(["bash", "-c", line], env=self.world.environment(), cwd=self.world.directory, check=True)
            self.assertEqual([run["analysis_id"] for run in self.json("history", "--limit", "2")["runs"]], [hostile] * 2)
            self.assertFalse(os.path.exists(os.path.join(self.world.directory, "x")))

    def test_of_an_unknown_analysis_nothing_is_suggested(self):
        self.assert_status(self.run_scidex("--analysis-id", "SDA-7", "--", "true"), 0)
        self.assertIn("nothing is known", self.ctl("suggest", "SDA-8", status=1).stderr)
        self.assertEqual(self.json("suggest", "SDA-8", status=1)["error"]["code"], "not-found")
        self.assertIn("needs an analysis", self.ctl("suggest", status=2).stderr)

    def test_the_report_adds_up_what_was_asked_for_and_used(self):
        limits = ("--memory", "256M", "--timeout", "1h")
        for _ in range(3):
            self.assert_status(self.run_scidex("--analysis-id", "SDA-7", *limits, "--", "true"), 0)
        self.assert_status(self.run_scidex("--analysis-id", "SDA-8", "--timeout", "300ms", "--memory", "infinity", "--", "sleep", "1000"), 124)
        report = {entry["analysis_id"]: entry for entry in self.json("report")["report"]}
        self.assertEqual((report["SDA-7"]["runs"], report["SDA-7"]["killed_time"]), (3, 0))
        self.assertEqual(report["SDA-7"]["timeout_mean_sec"], 3600)
        self.assertEqual((report["SDA-8"]["runs"], report["SDA-8"]["killed_time"], report["SDA-8"]["memory_unlimited_runs"]), (1, 1, 1))
        users = self.json("report", "--by", "user")["report"]
        self.assertEqual([entry["runs"] for entry in users], [4])
        text = self.ctl("report").stdout
        self.assertIn("SDA-7", text)
        self.assertIn("1 time", text)
        self.assertIn("SDA-8", self.ctl("report", "--analysis", "SDA-8").stdout)
        self.assertEqual(self.json("report", "--since", "2036-01-01T00:00:00Z")["report"], [])
        self.assertIn("did you mean 'user'", self.ctl("report", "--by", "users", status=2).stderr)

    @needs("groups")
    def test_the_tree_is_what_the_kernel_has(self):
        inner = f"{self.here().program('scidex-run')} --quiet --analysis-id inner -- sh -c 'echo ready; exec sleep 1000'"
        outer = self.start_scidex("--analysis-id", "outer", "--", "sh", "-c", inner)
        outer.read_line()
        # It was still the shell that has spoken.
        eventually(lambda: "sleep" in [process_comm(row["pid"]) for row in self.world.list()], 10, "the inner run sleeps")
        stray = os.path.join(self.world.tree, "stray")
        os.mkdir(stray)
        try:
            answer = self.json("tree")["tree"]
            self.assertEqual(answer["path"], self.world.tree)
            groups = answer["groups"]
            self.assertEqual((groups[0]["kind"], groups[0]["depth"]), ("tree", 0))
            named = {group["analysis_id"]: group for group in groups if group["kind"] == "run"}
            self.assertEqual({name: group["depth"] for name, group in named.items()}, {"outer": 1, "inner": 2})
            self.assertEqual([group["name"] for group in groups if group["kind"] == "foreign"], ["stray"])
            told = [process["pid"] for group in groups for process in group["processes"]]
            self.assertEqual(sorted(told), sorted(group_processes(self.world.tree)))
            for process in (process for group in groups for process in group["processes"]):
                self.assertEqual(process["comm"], read_text(f"/proc/{process['pid']}/comm").strip())
            text = self.ctl("tree").stdout
            self.assertIn("FOREIGN", text)
            self.assertIn("1 group in the tree is not of scidex's making", text)
            self.assertIn(f"{named['inner']['processes'][0]['pid']} sleep", text)
        finally:
            os.rmdir(stray)
        self.ctl("kill", "outer")
        outer.wait()

    def test_without_a_supervisor_there_is_no_tree(self):
        self.assertEqual(self.json("tree", status=3)["error"]["code"], "no-supervisor")

    def test_watch_shows_a_verb_again_and_again_and_leaves_the_terminal_as_it_was(self):
        launch = self.start_scidex("--analysis-id", "SDA-7", "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        with Terminal(self.world, [self.world.program("scidexctl"), "watch", "--watch=200ms", "list"]) as terminal:
            text = terminal.wait_for("SDA-7")
            self.assertIn("scidexctl list every 200ms", text.splitlines()[0])
            self.ctl("kill", "SDA-7")
            launch.wait()
            terminal.wait_for("Nothing is running")
            terminal.resize(60, 10)
            terminal.wait_for("Nothing is running")
            terminal.type("q")
            settings = terminal.wait_for_end(0)
            self.assertNotIn("-icanon", settings)
            self.assertNotIn("-echo ", settings)
            self.assertNotIn("every 200ms", terminal.screen())

    def test_a_watched_verb_that_fails_says_so_and_goes_on(self):
        with Terminal(self.here(), [self.world.program("scidexctl"), "list", "--watch=200ms"]) as terminal:
            terminal.wait_for("no supervisor is running")
            self.assertIn("(status 3)", terminal.screen())
            launch = self.start_scidex("--analysis-id", "SDA-7", "--", "sh", "-c", "echo ready; exec sleep 1000")
            launch.read_line()
            terminal.wait_for("SDA-7")
            terminal.type("C-c")
            terminal.wait_for_end(0)
        self.ctl("kill", "SDA-7")
        launch.wait()

    def test_watched_into_a_pipe_one_comes_after_the_other(self):
        world = self.here()
        watched = subprocess.Popen(
            [world.program("scidexctl"), "list", "--all", "--json", "--watch=100ms"], env=world.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            answers = [line for line, _ in zip((line for line in watched.stdout if '"ok"' in line), range(3))]
            self.assertEqual(answers, ['  "ok": false,\n'] * 3)
        finally:
            watched.kill()
            watched.wait()
            watched.stdout.close()
        self.assertIn("'kill' does not take --watch", self.ctl("watch", "kill", "SDA-7", status=2).stderr)
