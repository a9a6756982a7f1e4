"""The end of a world of the chaos run: all works again, and a last supervisor adopts what is left.

What ChaosWorld is also made of. The hard thing is to judge the supervisor that is there before the next one mends what it left:
so its groups, and its descriptors, are looked at first.
"""

import contextlib
import os
import signal
import subprocess

from scidextest import ProtocolError, eventually, is_alive, process_comm, process_state, read_text

REST = 25  # until all is recorded: the recorder tries again after 1, 2, 4, … s


class Closing:
    def close(self):
        """A last supervisor, which nothing happens to."""
        for thread in self.threads:
            thread.join(30)
        self.await_rest("a supervisor that works")
        self.last_fds = self.descriptors()
        for one in self.started:
            if one.process and not one.accepted and not one.unanswered:
                one.process.kill()
        self.end_daemons()
        last = self.world.run("--analysis-id", "last", "--", "true", env={"SCIDEX_PLANTED_BUG": self.extra.get("SCIDEX_PLANTED_BUG")}, timeout=90)
        if last.status != 0:
            self.find("last", None, f"the last run fails: {last}")
        self.await_rest("the last supervisor")
        for one in self.started:
            if one.unanswered:
                one.process.kill()
        self.compare_descriptors()
        if self.server:
            self.world.wait_shipped(60)
        self.end_daemons()
        for one in self.started:
            if one.process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.status = one.process.wait(0.1)

    def groups(self):
        return [name for name in self.world.groups() if os.path.join(self.world.tree, name) not in self.foreign]

    def describe_groups(self):
        return {name: read_text(os.path.join(self.world.tree, name, "cgroup.procs"), "").split() for name in self.groups()}

    def world_status(self):
        with contextlib.suppress(OSError, ProtocolError):
            return self.world.status()
        return None

    def await_rest(self, who):
        try:
            eventually(self.rests, REST)
        except AssertionError:
            self.find("group", None, f"{who} has not ended, recorded and removed all: {self.describe_groups()}, {self.world_status()}")

    def rests(self):
        """No run is left, and all is recorded; or there is no supervisor."""
        self.harm.reap()
        status = self.world_status()
        return status is None or (status["runs"] == 0 and status["unrecorded"] == 0 and not self.groups())

    def descriptors(self):
        """How many the supervisor holds that is there; None: none is."""
        status = self.world_status()
        if status is None:
            return None
        with contextlib.suppress(OSError):
            return len(os.listdir(f"/proc/{status['pid']}/fd"))
        return None

    def compare_descriptors(self):
        fresh = self.descriptors()
        if fresh is not None and self.last_fds is not None and self.last_fds > fresh + 1:
            self.find("descriptors", None, f"a supervisor without runs held {self.last_fds} descriptors, a fresh one {fresh}")

    def end_daemons(self):
        pids = self.harm.supervisors() + self.harm.recorders()
        for pid in self.harm.supervisors():
            self.harm.hit(pid, signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.harm.reap() or not any(is_alive(pid) for pid in pids), 30)
        for pid in pids:
            if is_alive(pid):
                self.find("daemon", None, f"{pid} ({process_comm(pid)}, {process_state(pid)}) has not ended")
