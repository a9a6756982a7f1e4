"""The units as systemd sees them: installed, started, restarted, stopped, and the runs that outlive them."""

import os
import pwd
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import helper  # noqa: E402
from systemtest import (  # noqa: E402
    DRAIN,
    KEEPER,
    SOCKET,
    SUPERVISOR,
    UNITS,
    SystemTest,
    command,
    eventually,
    group_processes,
    is_alive,
    main_pid,
    read_text,
    run_as,
    systemctl,
    unit_cgroup,
    unit_property,
    unit_state,
)

ALL_UNITS = (*UNITS, "scidex.slice")
OF_THE_SYSTEM = ("scidex-http.socket",)
WAITING = ("sh", "-c", "echo ready; read line; exit 5")


UPGRADE_RUNS = 100


class UnitTest(SystemTest):
    def start_waiting(self, *options, **members):
        """A run that exits with 5 when it is told to, and is there when this returns."""
        launch = self.world.start(*options, "--", *WAITING, stdin=-1, **members)
        launch.read_line()
        return launch

    def let_go(self, *launches):
        """Ends them by their own exit, and checks that nobody noticed anything."""
        for launch in launches:
            launch.process.stdin.write(b"\n")
        for launch in launches:
            result = launch.wait()
            self.assert_status(result, 5)
            self.assertEqual(result.stderr, "", result)
            self.assert_recorded(result.run["run_id"], "failed", events=[])

    def assert_adopted(self, launches, before):
        """All runs are in the list of the supervisor that answers now, as they were in the one before."""
        keys = ("run_id", "analysis_id", "pid", "launcher_pid", "uid", "group", "launched_at", "deadline_at")
        eventually(lambda: {row["run_id"] for row in self.world.list()} >= {row["run_id"] for row in before}, 10)
        for launch, row in zip(launches, before):
            self.assertEqual({key: launch.run()[key] for key in keys}, {key: row[key] for key in keys})
            self.assertTrue(is_alive(row["pid"]))


class Installed(UnitTest):
    as_shipped = True

    def test_verify_has_nothing_to_say(self):
        environment = os.environ | {"XDG_RUNTIME_DIR": self.world.directory}
        for options, units in (([], (*ALL_UNITS, *OF_THE_SYSTEM)), (["--user"], ALL_UNITS)):
            done = command("systemd-analyze", "verify", "--man=no", *options, *units, env=environment)
            self.assertEqual(done.stdout + done.stderr, "", options)

    def test_the_security_rating_is_ok_or_better(self):
        done = command("systemd-analyze", "security", "--no-pager", "--threshold=50", SUPERVISOR)
        self.assertRegex(done.stdout, "Overall exposure level for .*: [0-4][.][0-9] (OK|PERFECT)")

    def test_the_keeper_stands_in_a_leaf_of_its_cgroup(self):
        pid, cgroup = main_pid(KEEPER), unit_cgroup(KEEPER)
        self.assertEqual(cgroup, f"/sys/fs/cgroup/scidex.slice/{KEEPER}")
        self.assertEqual(group_processes(os.path.join(cgroup, "keeper")), [pid])
        self.assertEqual(read_text(os.path.join(cgroup, "cgroup.procs")), "")
        self.assertLessEqual({"cpu", "memory", "pids"}, set(read_text(f"{cgroup}/cgroup.subtree_control").split()))

    def test_the_supervisor_has_limits_of_its_own(self):
        cgroup = unit_cgroup(SUPERVISOR)
        self.assertEqual(cgroup, f"/sys/fs/cgroup/system.slice/{SUPERVISOR}")
        self.assertEqual(read_text(f"{cgroup}/memory.max"), f"{256 << 20}\n")
        self.assertEqual(read_text(f"{cgroup}/cpu.max"), "2000 20000\n")
        self.assertIn(main_pid(SUPERVISOR), group_processes(cgroup))

    def test_the_recorder_is_nobody_special(self):
        recorder = eventually(self.world.recorder_pid, 10, "a recorder")
        status = dict(line.split(":\t", 1) for line in read_text(f"/proc/{recorder}/status").splitlines() if ":\t" in line)
        uid = str(pwd.getpwnam("scidex").pw_uid)
        self.assertEqual(status["Uid"].split(), [uid] * 4)
        self.assertEqual((int(status["CapEff"], 16), int(status["CapPrm"], 16)), (0, 0))
        self.assertEqual(status["NoNewPrivs"], "1")

    def test_the_socket_is_the_groups(self):
        info = os.stat("/run/scidex/control")
        self.assertEqual((info.st_uid, info.st_mode & 0o777), (0, 0o660))
        self.assertEqual(info.st_gid, pwd.getpwnam("scidex").pw_gid)

    def test_all_of_it_is_enabled_by_one_name(self):
        for unit in (KEEPER, SOCKET, SUPERVISOR):
            self.assertEqual(systemctl("is-enabled", unit).stdout, "enabled\n")

    def test_at_shutdown_the_drain_comes_first_and_the_keeper_last(self):
        """What is stopped first is what was started last: systemd stops in the reverse order of After=."""
        for unit, later in ((KEEPER, SUPERVISOR), (KEEPER, DRAIN), (SUPERVISOR, DRAIN), (SOCKET, DRAIN)):
            self.assertIn(unit, unit_property(later, "After").split(), later)
        for unit in UNITS:
            self.assertIn("shutdown.target", unit_property(unit, "Conflicts").split(), unit)
            self.assertIn("shutdown.target", unit_property(unit, "Before").split(), unit)


class Tree(UnitTest):
    def test_a_group_lies_in_the_keepers_cgroup_and_not_in_the_supervisors(self):
        launch = self.start_waiting("--analysis-id", "SDA 42/b")
        row = launch.run()
        self.assertEqual(os.path.dirname(row["group"]), unit_cgroup(KEEPER))
        self.assertEqual(os.path.basename(row["group"]), "SDA_42_b-" + row["run_id"][-8:])
        self.assertEqual(group_processes(row["group"]), [row["pid"]])
        self.assertNotIn(row["pid"], group_processes(unit_cgroup(SUPERVISOR)))
        self.assertEqual(self.world.status()["tree"]["path"], unit_cgroup(KEEPER))
        self.let_go(launch)

    def test_systemds_tools_show_readable_names(self):
        launch = self.start_waiting("--analysis-id", "SDA-42")
        name = "SDA-42-" + launch.run_id()[-8:]
        self.assertIn(name, systemctl("status", "--no-pager", "--full", KEEPER).stdout)
        self.assertIn(name, command("systemd-cgls", "--no-pager", "--full", f"--unit={KEEPER}").stdout)
        top = command("systemd-cgtop", "--batch", "--iterations=1", "--depth=4", "--raw", "--recursive=yes", "-P").stdout
        self.assertIn(f"scidex.slice/{KEEPER}/{name}", top)
        self.let_go(launch)

    def test_a_user_launches_in_a_group_that_is_not_the_users(self):
        launch = self.start_waiting(user="bob")
        row = launch.run()
        self.assertEqual(row["uid"], pwd.getpwnam("bob").pw_uid)
        self.assertEqual(row["enforcement"], "kernel")
        self.assertEqual(os.stat(row["group"]).st_uid, 0)
        self.assertNotEqual(run_as("bob", "sh", "-c", f"echo max >{row['group']}/memory.max").returncode, 0)
        self.let_go(launch)


class Outlived(UnitTest):
    def test_killed_it_is_back_within_a_second_and_adopts(self):
        launches = [self.start_waiting("--analysis-id", f"killed-{i}", user=user) for i, user in enumerate(("alice", "bob"))]
        before = [launch.run() for launch in launches]
        restarts, took = int(unit_property(SUPERVISOR, "NRestarts")), []
        while not took or (min(took) >= 1 and len(took) < 3):  # the host of the guest may have been busy
            old = self.world.kill_service()
            killed = time.monotonic()
            new = self.world.wait_ready(other_than=old)
            took.append(int(unit_property(SUPERVISOR, "ExecMainStartTimestampMonotonic")) / 1e6 - killed)
            self.assertEqual(main_pid(SUPERVISOR), new)
        self.assertLess(min(took), 1)
        self.assertEqual(int(unit_property(SUPERVISOR, "NRestarts")), restarts + len(took))
        self.assert_adopted(launches, before)
        self.let_go(*launches)

    def test_killed_ten_times_in_a_row_it_is_not_given_up(self):
        launch = self.start_waiting()
        before = launch.run()
        for _ in range(10):
            self.world.wait_ready(other_than=self.world.kill_service())
        self.assert_adopted([launch], [before])
        self.let_go(launch)

    def test_one_that_hangs_is_restarted_by_the_watchdog(self):
        launch = self.start_waiting()
        before, old = launch.run(), main_pid(SUPERVISOR)
        os.kill(old, signal.SIGSTOP)
        self.assertNotEqual(self.world.wait_ready(other_than=old), old)
        self.assertTrue(any("atchdog timeout" in line for line in self.world.unit_log()), self.world.unit_log())
        self.assert_adopted([launch], [before])
        self.let_go(launch)

    def test_restart(self):
        launch = self.start_waiting()
        before, old = launch.run(), main_pid(SUPERVISOR)
        self.assertNotEqual(self.world.restart_service(), old)
        self.assertEqual(unit_property(SUPERVISOR, "Result"), "success")
        self.assert_adopted([launch], [before])
        self.let_go(launch)

    def test_restart_with_another_binary(self):
        """As an upgrade does it: the file is replaced while the old one runs."""
        launches = [self.start_waiting() for _ in range(UPGRADE_RUNS)]
        # A launcher tells the pid of its run a moment after the run has spoken.
        eventually(lambda: all(row["pid"] for row in self.world.list()), 20, "each run has its pid")
        before = self.rows_now()
        self.assertEqual(len(before), UPGRADE_RUNS)
        path = self.world.program("scidex-supervisor")
        shutil.copy2(path, path + ".new")
        os.rename(path + ".new", path)
        old = main_pid(SUPERVISOR)
        self.assertTrue(os.readlink(f"/proc/{old}/exe").endswith(" (deleted)"))
        self.assertEqual(os.readlink(f"/proc/{self.world.restart_service()}/exe"), path)
        eventually(lambda: self.rows_now() == before, 10, "all runs are as they were")
        for launch in launches:
            launch.process.stdin.write(b"\n")
        results = [launch.wait(60) for launch in launches]
        self.assertEqual([(result.status, result.stderr) for result in results], [(5, "")] * UPGRADE_RUNS)

        def recorded():
            rows = [row for row in self.world.history(limit=1000) if row["run_id"] in before]
            return [row["verdict"] for row in rows] == ["failed"] * UPGRADE_RUNS

        eventually(recorded, 10, "every run has its row, and one only")
        self.assertEqual([event for event in self.world.events(limit=1000) if event["run_id"] in before], [])

    def rows_now(self):
        """What must not change, by run id: for many runs, of which one question each would take long."""
        keys = ("analysis_id", "pid", "launcher_pid", "uid", "group", "launched_at", "deadline_at")
        return {row["run_id"]: tuple(row[key] for key in keys) for row in self.world.list()}

    def test_stopped_it_leaves_runs_alive_and_their_launchers_start_it_again(self):
        launch = self.start_waiting()
        before, old = launch.run(), main_pid(SUPERVISOR)
        systemctl("stop", SUPERVISOR)
        self.assertTrue(is_alive(before["pid"]))
        eventually(lambda: main_pid(SUPERVISOR) not in (0, old), 10, "the launcher's connection starts it")
        self.assert_adopted([launch], [before])
        self.let_go(launch)

    def test_stopped_with_its_socket_it_stays_down_and_runs_live(self):
        launch = self.start_waiting()
        before = launch.run()
        self.world.stop_service()
        self.assertEqual((unit_state(SUPERVISOR), unit_state(SOCKET)), ("inactive", "inactive"))
        refused = self.world.run("--", "true", user="bob")
        self.assert_status(refused, 125)
        self.assertIn("systemctl start scidex-supervisor", refused.stderr)
        self.assertTrue(is_alive(before["pid"]))
        self.world.start_service()
        self.assert_adopted([launch], [before])
        self.let_go(launch)

    def test_without_its_keeper_process_runs_live(self):
        launch = self.start_waiting()
        before = launch.run()
        os.kill(main_pid(KEEPER), signal.SIGKILL)
        eventually(lambda: main_pid(KEEPER) == 0, 10, "the keeper is gone")
        self.assertEqual(unit_state(KEEPER), "active")
        self.assertTrue(is_alive(before["pid"]))
        self.assertEqual(self.world.run("--", "true").status, 0)
        # With the last run the cgroup is empty: systemd takes it away at once, and starts all of it anew.
        launch.process.stdin.write(b"\n")
        self.assert_status(launch.wait(), 5)
        eventually(lambda: main_pid(KEEPER) != 0, 10, "the keeper is back")
        self.world.start_units()
        # Not the newest row: tests that set the clock leave some of the future, and a run that is `lost`, because systemd took
        # its group away before the supervisor had looked, has no end.
        rows = eventually(
            lambda: [row for row in self.world.history(limit=1000) if row["run_id"] == before["run_id"]], 10, "the run is in the record"
        )
        self.assertIn(rows[0]["verdict"], ("failed", "lost"), rows)


class Ended(UnitTest):
    def test_the_end_of_the_keeper_ends_runs_as_cancelled_by_shutdown(self):
        launches = [self.start_waiting("--analysis-id", f"drained-{i}", user=user) for i, user in enumerate(("alice", "bob"))]
        ids = [launch.run_id() for launch in launches]
        systemctl("stop", KEEPER)
        self.assertEqual([unit_state(unit) for unit in UNITS], ["inactive"] * 4)
        results = [launch.wait() for launch in launches]
        self.world.start_units()
        for run_id, result in zip(ids, results):
            self.assert_status(result, 143)
            self.assert_verdict(result, "cancelled", "shutdown")
            row, (event,) = self.assert_recorded(run_id, "cancelled")
            self.assertEqual((row["detail"], event["detail"]), ("shutdown", "shutdown"))

    def test_one_that_ignores_term_has_its_grace_and_is_recorded_too(self):
        launch = self.world.start("--grace", "2s", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done")
        launch.read_line()
        run_id = launch.run_id()
        systemctl("stop", KEEPER)
        self.assert_status(launch.wait(), 143)
        self.world.start_units()
        _, (event,) = self.assert_recorded(run_id, "cancelled")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])

    def test_the_keeper_is_stopped_though_clients_knock(self):
        """A connection that starts the supervisor would start the keeper with it, and its stop would be lost."""
        launch = self.start_waiting()
        knocking = self.world.start("--", "true", user="bob", prefix=("sh", "-c", 'while "$@"; do :; done', "sh"))
        eventually(lambda: len(self.world.history(limit=5)) >= 1, 10)
        systemctl("stop", KEEPER)
        self.assertEqual([unit_state(unit) for unit in UNITS], ["inactive"] * 4)
        self.assert_status(launch.wait(), 143)
        self.assertIn("scidex-run: ", knocking.wait().stderr)
        self.world.start_units()

    def test_an_oom_in_a_run_stops_no_unit(self):
        before = [unit_property(unit, "InvocationID") for unit in UNITS]
        result = self.world.run("--memory", "64M", "--", helper("leaker"), "anon", "300", "0")
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")
        self.assertEqual([unit_property(unit, "InvocationID") for unit in UNITS], before)

    def test_an_oom_of_all_runs_together_stops_no_unit(self):
        before = [unit_property(unit, "InvocationID") for unit in UNITS]
        systemctl("set-property", "--runtime", "scidex.slice", "MemoryMax=128M")
        try:
            result = self.world.run("--memory", "1G", "--", helper("leaker"), "anon", "300", "0")
        finally:
            systemctl("set-property", "--runtime", "scidex.slice", "MemoryMax=90%")
        self.assert_status(result, 137)
        self.assert_verdict(result, "host-oom")
        self.assertEqual([unit_property(unit, "InvocationID") for unit in UNITS], before)
        self.assertTrue(all(unit_state(unit) == "active" for unit in UNITS))


class UserManager(UnitTest):
    """The same units in alice's own manager, without any of the system's."""

    def setUp(self):
        super().setUp()
        self.uid = pwd.getpwnam("alice").pw_uid
        command("loginctl", "enable-linger", "alice")
        systemctl("start", f"user@{self.uid}.service")
        self.runtime = f"/run/user/{self.uid}"
        self.user_systemctl("start", SUPERVISOR)

    def tearDown(self):
        self.user_systemctl("stop", KEEPER, SOCKET)
        command("loginctl", "disable-linger", "alice")
        super().tearDown()

    def user_systemctl(self, *words):
        return run_as("alice", "systemctl", "--user", *words, check=True, env={"XDG_RUNTIME_DIR": self.runtime})

    def user_property(self, unit, name):
        return self.user_systemctl("show", "--property", name, "--value", unit).stdout.strip()

    def start_in_users(self, *arguments, **options):
        return self.world.start(*arguments, env={"XDG_RUNTIME_DIR": self.runtime, "SCIDEX_SOCKET": f"{self.runtime}/scidex/control"}, **options)

    def test_a_run_lies_in_the_users_keeper_and_survives_a_restart(self):
        launch = self.start_in_users("--require=kernel", "--", *WAITING, stdin=-1)
        launch.read_line()
        tree = "/sys/fs/cgroup" + self.user_property(KEEPER, "ControlGroup")
        self.assertIn(f"/user@{self.uid}.service/", tree)
        (group,) = [name for name in os.listdir(tree) if name.startswith("run-")]
        (pid,) = group_processes(os.path.join(tree, group))
        old = self.user_property(SUPERVISOR, "MainPID")
        os.kill(int(old), signal.SIGKILL)
        eventually(lambda: self.user_property(SUPERVISOR, "MainPID") not in ("0", old), 10, "the supervisor is back")
        self.assertTrue(is_alive(pid))
        launch.process.stdin.write(b"\n")
        result = launch.wait()
        self.assert_status(result, 5)
        self.assertEqual(result.run["enforcement"], "kernel")

    def test_the_end_of_the_keeper_ends_the_run(self):
        launch = self.start_in_users("--", *WAITING, stdin=-1)
        launch.read_line()
        self.user_systemctl("stop", KEEPER)
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_verdict(result, "cancelled", "shutdown")
