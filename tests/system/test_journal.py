"""The journal: `journalctl SCIDEX_ANALYSIS_ID=…` tells the story of a run, -x explains it, and nothing waits for journald."""

import contextlib
import os
import pwd
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from systemtest import SUPERVISOR, SystemTest, command, eventually, main_pid, pidfd  # noqa: E402

LAUNCH = "dd3e7e50d0fd4e9cbc8e8d06f2d6e94d"
WARN = "f173e305a8b94f0d8162021685c7a899"
TERM = "0c4a5ab62fec46a4ab2f2bf7cfee5521"
KILL = "c4c3dbadffcb46e8908ed973e7b1d7c8"
VERDICT = "b884ef6fea0f4d41b6c36fcb31126454"
ADOPTION = "446d1dc08dcd41e282f1b1cd94044ce4"
REFUSAL = "a4b2d6d8308f47c1b8a398eb4f431ff5"
NAMES = {LAUNCH: "launch", WARN: "warn", TERM: "term", KILL: "kill", VERDICT: "verdict", ADOPTION: "adoption", REFUSAL: "refusal"}

JOURNAL_SOCKET = "/run/systemd/journal/socket"
SO_SNDBUFFORCE = 32
STUBBORN = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")


def text(value):
    """journalctl -o json gives what it does not hold for text as a list of bytes."""
    return bytes(value).decode() if isinstance(value, list) else value


class Story(SystemTest):
    def story(self, *matches):
        return self.world.journal(*matches)

    def kinds(self, entries):
        return [NAMES.get(entry.get("MESSAGE_ID"), entry["MESSAGE"]) for entry in entries]

    def test_a_run_is_told_from_the_launch_to_the_verdict(self):
        analysis = f"SDA-{self.world.test_id}"
        launch = self.world.start("--analysis-id", analysis, "--memory", "64M", "--timeout", "4s", "--grace", "1s", "--warn-before", "2s",
                                  "--warn-signal", "WINCH", "--", *STUBBORN)  # fmt: skip
        launch.read_line()
        run_id = launch.run_id()
        launch.wait()
        (event,) = self.world.events(run=run_id)
        entries = self.story(f"SCIDEX_ANALYSIS_ID={analysis}")
        self.assertEqual(self.kinds(entries), ["launch", "warn", "term", "kill", "verdict"])
        for entry in entries:
            with self.subTest(entry=entry["MESSAGE"]):
                self.assertEqual(entry["_SYSTEMD_UNIT"], SUPERVISOR)
                self.assertEqual(entry["SYSLOG_IDENTIFIER"], "scidex-supervisor")
                self.assertEqual(entry["SCIDEX_RUN_ID"], run_id)
                self.assertEqual(entry["SCIDEX_UID"], str(pwd.getpwnam("alice").pw_uid))
                self.assertEqual(entry["SCIDEX_LAUNCHER_PID"], str(launch.pid))
                self.assertEqual(entry["SCIDEX_MEMORY_MAX"], str(64 << 20))
                self.assertEqual(entry["SCIDEX_TIMEOUT_SEC"], "4.000000")
        for entry in entries[1:]:
            with self.subTest(entry=entry["MESSAGE"]):
                self.assertGreater(int(entry["SCIDEX_PID"]), 1)
                self.assertGreater(float(entry["SCIDEX_DURATION_SEC"]), 1.9)
                self.assertGreater(int(entry["SCIDEX_MEMORY_PEAK"]), 0)
        for entry in entries[2:]:
            with self.subTest(entry=entry["MESSAGE"]):
                self.assertEqual(entry["SCIDEX_EVENT_ID"], event["event_id"])
                self.assertEqual(entry["SCIDEX_VERDICT"], "timeout")
                self.assertEqual(entry["PRIORITY"], "5")
        self.assertEqual(entries[-1]["SCIDEX_EXIT_SIGNAL"], "KILL")

    def test_a_run_that_ends_by_itself_is_told_in_two_entries(self):
        analysis = f"SDA-{self.world.test_id}"
        result = self.world.run("--analysis-id", analysis, "--", "sh", "-c", "exit 3")
        self.assertEqual(result.status, 3)
        entries = self.story(f"SCIDEX_ANALYSIS_ID={analysis}")
        self.assertEqual(self.kinds(entries), ["launch", "verdict"])
        self.assertEqual((entries[-1]["SCIDEX_VERDICT"], entries[-1]["SCIDEX_EXIT_STATUS"]), ("failed", "3"))
        self.assertNotIn("SCIDEX_EVENT_ID", entries[-1])

    def test_a_kill_by_the_kernel_is_told_with_the_peak(self):
        analysis = f"SDA-{self.world.test_id}"
        result = self.world.run("--analysis-id", analysis, "--memory", "24M", "--", "python3", "-c", "x = bytearray(64 << 20)")
        self.assertEqual(result.status, 137)
        entries = self.story(f"SCIDEX_ANALYSIS_ID={analysis}")
        self.assertEqual(self.kinds(entries), ["launch", "kill", "verdict"])
        for entry in entries[1:]:
            self.assertEqual(entry["SCIDEX_VERDICT"], "memory")
            self.assertGreater(int(entry["SCIDEX_MEMORY_PEAK"]), 20 << 20)

    def test_an_analysis_id_can_forge_neither_field_nor_line(self):
        analysis = f"SDA-{self.world.test_id}\nSCIDEX_VERDICT=completed\n\x1b[2J"
        self.assertEqual(self.world.run("--analysis-id", analysis, "--", "false").status, 1)
        entries = self.story(f"SCIDEX_ANALYSIS_ID={analysis}")
        self.assertEqual(self.kinds(entries), ["launch", "verdict"])
        for entry in entries:
            self.assertEqual(text(entry["SCIDEX_ANALYSIS_ID"]), analysis)
            self.assertNotIn("\n", text(entry["MESSAGE"]))
        self.assertEqual(entries[-1]["SCIDEX_VERDICT"], "failed")

    def test_an_adoption_is_told(self):
        analysis = f"SDA-{self.world.test_id}"
        launch = self.world.start("--analysis-id", analysis, "--", "sh", "-c", "echo ready; read x; exit 0", stdin=-1)
        launch.read_line()
        self.world.restart_service()
        run_id = launch.run_id()
        entries = self.story(f"SCIDEX_ANALYSIS_ID={analysis}", f"MESSAGE_ID={ADOPTION}")
        self.assertEqual([entry["SCIDEX_RUN_ID"] for entry in entries], [run_id])
        self.world.kill(run_id)
        launch.wait()

    def test_a_refusal_is_told_with_who_and_what(self):
        outer = self.world.start("--analysis-id", f"SDA-{self.world.test_id}", "--", "sh", "-c", "echo ready; while :; do sleep 1; done")
        outer.read_line()
        outer_id = outer.run_id()
        result = self.world.run("--", "scidexctl", "kill", outer_id)
        self.world.kill(outer_id)
        outer.wait()
        self.assertNotEqual(result.status, 0)
        (entry,) = self.story(f"MESSAGE_ID={REFUSAL}", f"SCIDEX_UID={pwd.getpwnam('alice').pw_uid}")
        self.assertEqual((entry["SCIDEX_OPERATION"], entry["SCIDEX_CODE"], entry["PRIORITY"]), ("kill", "denied", "4"))
        self.assertGreater(int(entry["SCIDEX_PID"]), 1)

    def test_the_catalog_explains_each_entry_with_its_own_values(self):
        launch = self.world.start("--timeout", "3s", "--grace", "500ms", "--", *STUBBORN)
        run = launch.run_id()
        launch.wait()
        command("journalctl", "--update-catalog")
        told = command("journalctl", "--sync") and command("journalctl", "-x", "--no-pager", f"SCIDEX_RUN_ID={run}").stdout
        for subject in (f"Run {run} was launched", f"Run {run} is being ended: timeout", f"Run {run} was killed: timeout",
                        f"Run {run} has ended: timeout"):  # fmt: skip
            self.assertIn(f"Subject: {subject}", told)
        self.assertIn(f"scidexctl why {run}", told)
        self.assertNotIn("@SCIDEX_", told)


class Hanging(SystemTest):
    @contextlib.contextmanager
    def a_journald_that_stands_still(self):
        """Stopped, and its queue full: whoever sends to it and waits, waits for good."""
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        filler.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)  # the queue's end, not that of what we may send
        with pidfd(main_pid("systemd-journald.service")) as fd, filler:
            signal.pidfd_send_signal(fd, signal.SIGSTOP)
            try:
                with contextlib.suppress(BlockingIOError):
                    for _ in range(100000):
                        filler.sendto(b"MESSAGE=filler\n", JOURNAL_SOCKET)
                yield
            finally:
                signal.pidfd_send_signal(fd, signal.SIGCONT)

    def dropped(self):
        return [int(entry["SCIDEX_DROPPED"]) for entry in self.world.journal(f"_SYSTEMD_UNIT={SUPERVISOR}") if "SCIDEX_DROPPED" in entry]

    def test_delays_no_kill_and_is_told_what_it_missed(self):
        with self.a_journald_that_stands_still():
            started = time.monotonic()
            launch = self.world.start("--timeout", "3s", "--grace", "1s", "--", *STUBBORN)
            run_id = launch.run_id()
            result = launch.wait()
            took = time.monotonic() - started
            self.assertEqual(result.status, 124)
            self.assertLess(took, 10)  # 4 s, and what the emulator takes to start; the launcher's own backstop would come at 9
            (event,) = self.world.events(run=run_id)
            self.assertEqual([sent["signal"] for sent in event["signals"]], ["TERM", "KILL"])
            self.assertNotEqual(event["detail"], "backstop")

        def told():
            """It is said after the next entry that is taken: while journald catches up, its queue may be full again."""
            self.assertEqual(self.world.run("--", "true").status, 0)
            return sum(self.dropped()[:1]) >= 4

        eventually(told, 20, "what was dropped is said: launch, term, kill, verdict")
