"""Runs and launchers that do what they should not: leave their group, come too late, say more than fits a packet."""

import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    SLOW, ScidexTest, cgroup_mount, deadline, eventually, needs, pidfd, process_state, read_text, wait_readable,
)  # fmt: skip


def cpu_seconds(pid):
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class LeavesItsGroup(ScidexTest):
    @needs("root", "groups")
    def test_its_time_ends_all_the_same_and_the_supervisor_sleeps(self):
        procs = os.path.join(cgroup_mount(), "cgroup.procs")
        # Its last `sleep 1`, outside of the group too, may end after the launcher.
        self.here().may_leave_zombies = True
        launch = self.start_scidex(
            "--timeout", f"{max(2, SLOW // 2)}s", "--grace", "1s", "--",
            "sh", "-c", f"trap '' TERM; echo $$ > {procs}; echo out; while :; do sleep 1; done",
        )  # fmt: skip
        launch.read_line()
        supervisor = self.world.supervisor_pid()
        before = cpu_seconds(supervisor)
        result = launch.wait(20)
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        self.assertLess(cpu_seconds(supervisor) - before, 0.5)
        self.assert_recorded(result.run["run_id"], "timeout")


class ComesTooLate(ScidexTest):
    @needs("root", "groups")
    def test_a_process_that_enters_an_ended_group_is_killed(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        recorder = eventually(self.world.recorder_pid, 10)
        child, fds = os.fork(), []
        if child == 0:
            signal.pause()
            os._exit(0)
        try:
            # Until its event is in the record, the group stays.
            os.kill(recorder, signal.SIGSTOP)
            eventually(lambda: process_state(recorder) == "T", 5, "the recorder stands still")
            with self.world.client() as client:
                client.send({"v": 1, "op": "launch", "request": {"timeout_usec": 200000, "grace_usec": 100000}})
                _, fds, _, _ = socket.recv_fds(client.socket, 1 << 17, 4)
                # The launcher stood still; when it goes on, its run has ended for want of time.
                eventually(lambda: [row for row in self.world.list() if row["state"] == "ending"], 5, "the run is ending")
                procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=fds[0])
                os.write(procs, str(child).encode())
                os.close(procs)
                os.kill(recorder, signal.SIGCONT)
                with pidfd(child) as fd:
                    self.assertTrue(wait_readable(fd, 10), "it is killed")
                eventually(lambda: not self.world.groups(), 10, "its group is removed")
        finally:
            os.kill(recorder, signal.SIGCONT)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for fd in fds:
                os.close(fd)


class SaysTooMuch(ScidexTest):
    LABELS = {f"k{i}": "\x01" * 255 for i in range(32)}

    def test_long_labels_cost_no_status_and_no_record(self):
        labels = [word for key, value in self.LABELS.items() for word in ("--label", f"{key}={value}")]
        result = self.run_scidex("--timeout", "300ms", "--grace", "1s", *labels, "--", "sleep", "1000")
        self.assert_status(result, 124)
        self.assertLess(result.seconds, deadline(5))
        self.assertNotIn("can't be written yet", result.stderr)
        self.assert_recorded(result.run["run_id"], "timeout")

    @needs("groups")
    def test_a_row_longer_than_a_packet_does_not_stop_the_others(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        labels = {f"{i:02}" + "\x01" * 100: "\x01" * 200 for i in range(32)}
        with self.world.client() as client:
            request = {"labels": labels, "cmdline": "\x02" * 1000, "timeout_usec": 600_000_000, "grace_usec": 0}
            client.call("launch", request=request)
            rows = self.world.list()
            self.assertEqual(len(rows), 1)
            self.assertIn("labels", rows[0]["left_out"])
            self.world.kill(rows[0]["run_id"])
            eventually(lambda: [event["run_id"] for event in self.world.events()] == [rows[0]["run_id"]], 10, "its event is recorded")
        result = self.run_scidex("--", "sh", "-c", "exit 3")
        self.assert_recorded(result.run["run_id"], "failed", events=[])


if __name__ == "__main__":
    import unittest

    unittest.main()
