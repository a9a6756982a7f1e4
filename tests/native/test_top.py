"""scidexctl top, typed into through tmux: what keys do, what is shown of hostile names, and how the terminal is left."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest  # noqa: E402
from terminal import Terminal  # noqa: E402

HOSTILE = "<b>\x1b]0;owned\x07\x1b[31m\u202e\u2066" + "\u6f22" * 70
SOON = "10min"  # nearer than the others, but not within a test, however slow the machine is
ROW = re.compile(r"^([0-9a-f]{8}) ", re.MULTILINE)


def rows(screen):
    """Short ids of the runs, as they stand."""
    return ROW.findall(screen.split("Last kills")[0])


class Top(ScidexTest):
    def sleeper(self, analysis, *options):
        launch = self.start_scidex("--analysis-id", analysis, *options, "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        return launch

    def end(self, *launches):
        for launch in launches:
            with self.here().client() as client:
                client.call("kill", run=launch.run_id())
            launch.wait()

    def top(self, **options):
        return Terminal(self.here(), [self.world.program("scidexctl"), "top"], **{"columns": 120, **options})

    def test_a_run_appears_and_goes_and_its_kill_is_told(self):
        with self.top() as terminal:
            terminal.wait_for("no supervisor is running")
            launch = self.sleeper("SDA-1")
            terminal.wait_for("SDA-1")
            terminal.wait_for("1 run, 0 in grace")
            self.end(launch)
            text = terminal.wait_for(lambda screen: not rows(screen) and "cancelled" in screen)
            self.assertIn("Last kills", text)
            terminal.type("q")
            settings = terminal.wait_for_end(0)
            self.assertNotIn("-icanon", settings)
            self.assertNotIn("-echo ", settings)
            self.assertNotIn("Last kills", terminal.screen())

    def test_kill_asks_first_and_ends_the_run_that_was_marked_then(self):
        first, second = self.sleeper("SDA-1", "--timeout", SOON), self.sleeper("SDA-2", "--timeout", "2h")
        with self.top() as terminal:
            terminal.wait_for(lambda screen: rows(screen) == [first.run_id()[-8:], second.run_id()[-8:]])
            terminal.type("F9")
            terminal.wait_for("End SDA-1 (run")
            terminal.type("n")
            terminal.wait_for("Nothing was killed.")
            terminal.type("Down", "F9")
            text = terminal.wait_for("End SDA-2 (run")
            self.assertIn(second.run_id()[-8:], text.splitlines()[-1])
            terminal.type("y")
            self.assert_status(second.wait(), 143)
            terminal.wait_for(lambda screen: rows(screen) == [first.run_id()[-8:]])
            terminal.wait_for("the kill has begun")
            terminal.type("q")
            terminal.wait_for_end(0)
        self.end(first)

    def test_keys_sort_filter_search_and_show(self):
        a, b, c = self.sleeper("SDA-1", "--timeout", "3h"), self.sleeper("other", "--timeout", SOON), self.sleeper("SDA-3", "--timeout", "2h")
        short = {launch: launch.run_id()[-8:] for launch in (a, b, c)}
        with self.top() as terminal:
            terminal.wait_for(lambda screen: rows(screen)[:1] == [short[b]] and len(rows(screen)) == 3)
            terminal.type("T")
            terminal.wait_for(lambda screen: rows(screen) == [short[b], short[c], short[a]])
            terminal.type("I")
            terminal.wait_for(lambda screen: rows(screen) == [short[a], short[c], short[b]])
            terminal.type("F6", "Home", *["Down"] * 7, "Enter")
            terminal.wait_for("by analysis")
            terminal.wait_for(lambda screen: rows(screen) == [short[a], short[c], short[b]])
            terminal.type("F4")
            terminal.wait_for("Filter: _")
            terminal.type_text("sda")
            terminal.wait_for(lambda screen: rows(screen) == [short[a], short[c]])
            terminal.type("Enter")
            terminal.wait_for("only: sda")
            terminal.type("F4", "BSpace", "BSpace", "BSpace")
            terminal.wait_for(lambda screen: len(rows(screen)) == 3)
            terminal.type_text("nowhere")
            terminal.wait_for("(none)")
            terminal.type("Escape")
            terminal.wait_for(lambda screen: len(rows(screen)) == 3 and "F1 Help" in screen)
            terminal.type("/")
            terminal.type_text("SDA-3")
            terminal.wait_for("Search: SDA-3_")
            terminal.type("Enter", "Enter")
            terminal.wait_for(c.run_id())
            terminal.type("End")
            terminal.wait_for("Enforcement ")
            terminal.type("q")
            terminal.wait_for("F1 Help")
            terminal.type("F1")
            terminal.wait_for("nested runs below the run")
            terminal.type("Escape")
            terminal.wait_for("F1 Help")
            terminal.type("F10")
            terminal.wait_for_end(0)
        self.end(a, b, c)

    def test_nested_runs_stand_below_theirs(self):
        run = self.here().program("scidex-run")
        outer = self.start_scidex("--analysis-id", "outer", "--timeout", "2h", "--", "sh", "-c", f"{run} --quiet --timeout {SOON} --analysis-id inner -- sh -c 'echo ready; exec sleep 1000'")
        outer.read_line()
        with self.top() as terminal:
            # As soon as it has used more of its time than the outer one of its memory.
            terminal.wait_for(lambda screen: len(rows(screen)) == 2 and screen.index("inner") < screen.index("outer"))
            terminal.type("F5")
            text = terminal.wait_for("` inner")
            self.assertLess(text.index(" outer"), text.index("` inner"))
            terminal.type("q")
            terminal.wait_for_end(0)
        self.end(outer)

    def test_hostile_names_are_shown_as_what_they_are_at_any_size(self):
        launch = self.sleeper(HOSTILE, "--timeout", SOON)
        with self.top() as terminal:
            terminal.wait_for("<b>\\x1b]0;owned\\x07")
            for columns, lines in ((200, 50), (80, 24), (60, 10), (30, 5), (12, 3), (120, 30)):
                terminal.resize(columns, lines)
                terminal.wait_for("too small" if columns < 20 else "scidex top")
                self.assertNotIn("\u202e", terminal.screen())
            terminal.wait_for("<b>\\x1b]0;owned\\x07")
            self.assertNotIn("owned", terminal.tmux("display-message", "-p", "#{pane_title}"))
            terminal.type("Enter")
            text = terminal.wait_for(launch.run_id())
            self.assertNotIn("\u202e", text)
            terminal.type("q", "F9")
            terminal.wait_for("End <b>\\x1b]0;owned\\x07")
            terminal.type("y")
            launch.wait()
            terminal.wait_for(lambda screen: not rows(screen))
            terminal.type("q")
            terminal.wait_for_end(0)

    def test_keys_work_while_the_supervisor_hangs(self):
        launch = self.sleeper("SDA-1")
        supervisor = self.world.supervisor_pid()
        with self.top() as terminal:
            terminal.wait_for("SDA-1")
            os.kill(supervisor, signal.SIGSTOP)
            try:
                for _ in range(3):
                    terminal.type("F1")
                    terminal.wait_for("nested runs below the run")
                    terminal.type("q")
                    terminal.wait_for("SDA-1")
                terminal.type("q")
                terminal.wait_for_end(0)
            finally:
                os.kill(supervisor, signal.SIGCONT)
        self.end(launch)

    def test_no_colour_means_none_and_the_bar_is_read_without_it(self):
        code = "import time; x = bytearray(60 << 20); print('ready', flush=True); time.sleep(1000)"
        launch = self.start_scidex("--analysis-id", "SDA-1", "--memory", "100M", "--", sys.executable, "-c", code)
        launch.read_line()
        other = self.sleeper("SDA-2", "--timeout", SOON)
        with self.top(environment={"NO_COLOR": ""}) as terminal:
            terminal.wait_for(lambda screen: "[|||||" in screen and len(rows(screen)) == 2)
            self.assertRegex(terminal.screen_coloured(), "\x1b\\[[0-9;]*3[0-8]")
            terminal.type("C-c")
            terminal.wait_for_end(0)
        with self.top(environment={"NO_COLOR": "1"}) as terminal:
            terminal.wait_for("[|||||")
            self.assertNotRegex(terminal.screen_coloured(), "\x1b\\[[0-9;]*3[0-8]")
            terminal.type("C-c")
            terminal.wait_for_end(0)
        self.end(launch, other)

    def test_a_terminal_that_curses_does_not_know_is_named(self):
        with Terminal(self.here(), ["env", "TERM=nonsense", self.world.program("scidexctl"), "top"]) as terminal:
            terminal.wait_for("TERM=nonsense")
            terminal.wait_for_end(3)


