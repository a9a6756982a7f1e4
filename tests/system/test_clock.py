"""The host's clock is set back and forth: no deadline moves."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from systemtest import SystemTest  # noqa: E402

DAY = 86400
TIMEOUT = 12


class Clock(SystemTest):
    def set_clock(self, offset):
        """To the true time, and offset seconds."""
        time.clock_settime(time.CLOCK_REALTIME, self.base + time.monotonic() - self.mono + offset)

    def setUp(self):
        super().setUp()
        self.base, self.mono = time.time(), time.monotonic()
        self.addCleanup(self.set_clock, 0)

    def test_set_back_and_forth_it_changes_no_deadline(self):
        begin = time.clock_gettime(time.CLOCK_BOOTTIME)
        short = self.start_scidex("--timeout", f"{TIMEOUT}s", "--grace", "2s", "--", "sleep", "1000")
        long = self.start_scidex("--timeout", "1h", "--", "sh", "-c", "echo ready; exec sleep 1000")
        long.read_line()
        for offset in (DAY, -DAY, 400 * DAY, -3600):
            self.set_clock(offset)
            time.sleep(1)
        self.world.restart_service()  # the next one must come to the same deadline, by a clock that nobody sets
        self.set_clock(2 * DAY)
        result = short.wait(60)
        took = time.clock_gettime(time.CLOCK_BOOTTIME) - begin
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        self.assertGreaterEqual(took, TIMEOUT)
        self.assertLess(took, TIMEOUT + 8, "the deadline moved with the clock")
        self.assertAlmostEqual(result.run["duration_sec"], TIMEOUT, delta=6)
        self.assertEqual(long.run()["state"], "running")
        self.set_clock(0)
        self.world.kill(long.run_id())
        self.assert_status(long.wait(), 143)
