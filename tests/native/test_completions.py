"""Completions as people meet them: bash, zsh and fish, with the tab key, typed into through tmux."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import BUILD, REPO, ScidexTest, program, skip, skip_missing  # noqa: E402
from terminal import Terminal  # noqa: E402

COMPLETIONS = os.path.join(REPO, "cmd", "completions")
# What a shell would execute, if it were given more than a word.
HOSTILE = "x$(touch pwned)`touch pwned`;touch pwned #'\"\\ y"


class Completions(ScidexTest):
    def require_shell(self, name):
        if not os.path.isdir(COMPLETIONS):
            skip("the repository's cmd/ is not in the guest")
        if shutil.which(name) is None:
            skip_missing(f"{name} is not installed")

    def shell(self, name):
        """A shell in a terminal, in the test's directory, with our programs first."""
        world = self.here()
        options = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}[name]
        environment = {"PATH": os.path.join(BUILD, "cmd") + ":" + os.environ["PATH"], "HOME": world.directory, "PS1": "READY> ", "ZDOTDIR": world.directory}
        return Terminal(world, ["env", "-C", world.directory, name, *options], columns=150, environment=environment)

    def ready(self, terminal, *lines):
        for line in lines:
            terminal.type_text(line)
            terminal.type("Enter")
        terminal.type_text("echo set-up=$((1+1))" if not self.fish else "echo set-up=(math 1+1)")
        terminal.type("Enter")
        terminal.wait_for("set-up=2")
        terminal.type("C-l")
        terminal.wait_for_absence("set-up=2")

    def completes(self, terminal, typed, expected):
        """That typed becomes expected with one tab; the line is then cleared."""
        terminal.type_text(typed)
        terminal.type("Tab")
        terminal.wait_for(expected.rstrip())
        terminal.type_text("@")  # behind the blank, which is to be there
        terminal.wait_for(expected + "@")
        terminal.type("C-u")
        terminal.wait_for_absence(expected.rstrip())

    def assert_common(self, terminal):
        self.completes(terminal, "scidexctl sugg", "scidexctl suggest ")
        self.completes(terminal, "scidexctl watch hist", "scidexctl watch history ")
        self.completes(terminal, "scidexctl events --reas", "scidexctl events --reason ")
        self.completes(terminal, "scidexctl events --reason time", "scidexctl events --reason timeout ")
        self.completes(terminal, "scidexctl suggest SDA", "scidexctl suggest SDA-77 ")
        self.completes(terminal, "scidex-run --thr", "scidex-run --thrash ")

    def assert_hostile(self, terminal):
        """The id is completed as one word, which means itself: asked about, it is known."""
        terminal.type_text("scidexctl suggest x")
        terminal.type("Tab")
        terminal.wait_for(lambda screen: "touch" in screen.split("suggest x")[-1])
        terminal.type("Enter")
        terminal.wait_for("the last 1 run")
        self.assertFalse(os.path.exists(os.path.join(self.world.directory, "pwned")))

    def prepare(self):
        self.assert_status(self.run_scidex("--analysis-id", "SDA-77", "--", "true"), 0)
        self.assert_status(self.run_scidex("--analysis-id", HOSTILE, "--", "true"), 0)

    def test_bash(self):
        self.require_shell("bash")
        self.prepare()
        self.fish = False
        with self.shell("bash") as terminal:
            self.ready(terminal, f"source {COMPLETIONS}/scidexctl.bash", f"source {COMPLETIONS}/scidex-run.bash")
            self.assert_common(terminal)
            self.completes(terminal, "scidexctl events --reason=time", "scidexctl events --reason=timeout ")
            self.completes(terminal, "scidex-run --memory 1G --time", "scidex-run --memory 1G --timeout ")
            self.completes(terminal, "scidex-run --memory 1G -- tru", "scidex-run --memory 1G -- tru")
            self.assert_hostile(terminal)

    def test_zsh(self):
        self.require_shell("zsh")
        self.prepare()
        self.fish = False
        with self.shell("zsh") as terminal:
            self.ready(terminal, f"fpath=({COMPLETIONS} $fpath); autoload -U compinit; compinit -u -D")
            self.assert_common(terminal)
            self.assert_hostile(terminal)

    def test_fish(self):
        self.require_shell("fish")
        self.prepare()
        self.fish = True
        with self.shell("fish") as terminal:
            self.ready(terminal, f"source {COMPLETIONS}/scidexctl.fish; source {COMPLETIONS}/scidex-run.fish")
            self.assert_common(terminal)
            self.assert_hostile(terminal)

    def test_a_live_run_is_offered_to_kill(self):
        self.require_shell("bash")
        launch = self.start_scidex("--analysis-id", "SDA-1", "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        short = launch.run_id()[-8:]
        self.fish = False
        with self.shell("bash") as terminal:
            self.ready(terminal, f"source {COMPLETIONS}/scidexctl.bash")
            terminal.type_text("scidexctl kill " + short[:5])
            terminal.type("Tab")
            terminal.wait_for(f"scidexctl kill {short}")
            terminal.type("Enter")
            terminal.wait_for("the kill has begun")
        launch.wait()

    def test_every_verb_and_option_of_the_help_is_offered(self):
        world = self.here()

        def run(*arguments):
            return subprocess.run([program("scidexctl"), *arguments], env=world.environment(), capture_output=True, text=True, check=True).stdout

        def offered(*words):
            return {line.split("\t")[0] for line in run("complete", "--", *words).splitlines()}

        verbs = set(re.findall(r"^  ([a-z]+) +", run("--help").partition("Verbs:")[2].partition("Options:")[0], re.MULTILINE))
        self.assertGreater(len(verbs), 10)
        self.assertEqual(offered(""), verbs)
        for verb in verbs:
            options = set(re.findall(r"^  (--[a-z-]+)", run(verb, "--help"), re.MULTILINE))
            self.assertEqual(offered(verb, "--") if verb != "watch" else options, options, verb)
