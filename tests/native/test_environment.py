"""What a run is told about itself: its limits, its deadline, where to listen for memory pressure."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest, helper, needs, seconds_between  # noqa: E402

OURS = ("SCIDEX_RUN_ID", "SCIDEX_ANALYSIS_ID", "SCIDEX_MEMORY_MAX", "SCIDEX_DEADLINE", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE")
# base64 of "some 200000 2000000\0", as systemd's own default
TRIGGER = "c29tZSAyMDAwMDAgMjAwMDAwMAA="


class Environment(ScidexTest):
    def environment(self, *arguments, **options):
        """The variables of ours in the run, and the run."""
        result = self.run_scidex(*arguments, "--", "env", "-0", **options)
        self.assert_status(result, 0)
        pairs = dict(line.split("=", 1) for line in result.stdout.decode().split("\0") if line)
        return {key: value for key, value in pairs.items() if key in OURS}, result.run

    def test_limits_and_deadline_are_told(self):
        told, run = self.environment("--analysis-id", "SDA-42", "--memory", "300M", "--timeout", "5min")
        self.assertEqual(told["SCIDEX_RUN_ID"], run["run_id"])
        self.assertEqual(told["SCIDEX_ANALYSIS_ID"], "SDA-42")
        self.assertEqual(told["SCIDEX_MEMORY_MAX"], str(300 << 20))
        self.assertEqual(told["SCIDEX_DEADLINE"], run["deadline_at"])

    def test_the_defaults_are_told_when_nothing_was_asked(self):
        told, run = self.environment()
        self.assertEqual(told["SCIDEX_MEMORY_MAX"], str(run["memory_limit_bytes"]))
        self.assertAlmostEqual(seconds_between(run["launched_at"], told["SCIDEX_DEADLINE"]), run["timeout_sec"], places=3)

    def test_what_the_launcher_had_of_another_run_is_not_passed_on(self):
        stale = dict.fromkeys(OURS, "stale")
        told, _ = self.environment("--memory", "infinity", "--timeout", "infinity", env=stale)
        self.assertNotIn("stale", told.values())
        for name in ("SCIDEX_ANALYSIS_ID", "SCIDEX_MEMORY_MAX", "SCIDEX_DEADLINE"):
            self.assertNotIn(name, told)

    @needs("groups")
    def test_a_nested_run_is_told_the_limits_that_hold(self):
        inner = f"exec {self.here().program('scidex-run')} --memory infinity --timeout infinity -- env -0"
        result = self.run_scidex("--memory", "300M", "--timeout", "5min", "--", "sh", "-c", inner)
        self.assert_status(result, 0)
        told = dict(line.split("=", 1) for line in result.stdout.decode().split("\0") if line)
        self.assertEqual(told["SCIDEX_MEMORY_MAX"], str(300 << 20))
        self.assertEqual(told["SCIDEX_DEADLINE"], result.run["deadline_at"])
        self.assertNotEqual(told["SCIDEX_RUN_ID"], result.run["run_id"])
        self.assertIn(f"-{told['SCIDEX_RUN_ID'][-8:]}/memory.pressure", told["MEMORY_PRESSURE_WATCH"])

    @needs("groups")
    def test_memory_pressure_is_to_be_watched_in_the_own_group(self):
        told, run = self.environment("--analysis-id", "SDA-42")
        self.assertEqual(told["MEMORY_PRESSURE_WATCH"], run["group"] + "/memory.pressure")
        self.assertEqual(told["MEMORY_PRESSURE_WRITE"], TRIGGER)

    @needs("memory-controller")
    def test_a_program_that_listens_hears_of_pressure_before_the_limit(self):
        result = self.run_scidex("--memory", "400M", "--memory-high", "80M", "--", helper("pressed"), "160")
        self.assertEqual(result.stdout, b"armed\npressure\n", str(result))
        self.assert_status(result, 0)

