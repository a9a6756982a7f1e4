"""The units as systemd sees them: installed, started, restarted, stopped."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from systemtest import KEEPER, SOCKET, group_processes, install, main_pid, systemctl, unit_cgroup, unit_state  # noqa: E402


class Installed(unittest.TestCase):
    def test_the_keeper_holds_a_cgroup_and_stands_in_a_leaf_of_it(self):
        install()
        systemctl("start", KEEPER)
        pid, cgroup = main_pid(KEEPER), unit_cgroup(KEEPER)
        self.assertEqual(unit_state(SOCKET), "active")
        self.assertEqual(cgroup, f"/sys/fs/cgroup/scidex.slice/{KEEPER}")
        self.assertEqual(group_processes(cgroup), [pid])
        self.assertEqual(group_processes(os.path.join(cgroup, "keeper")), [pid])
