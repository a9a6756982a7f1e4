"""Memory as the kernel enforces it, and who is told to have caused what."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    IN_VM,
    MIB,
    ScidexTest,
    cgroup_mount,
    disk_path,
    eventually,
    helper,
    needs,
    read_text,
    require,
    skip,
    write_text,
)


def counter(path, key):
    for line in read_text(path, "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return None


class MemoryTest(ScidexTest):
    def setUp(self):
        super().setUp()
        require("memory-controller")


class Limit(MemoryTest):
    alone = True  # there is one disk

    def test_an_allocation_beyond_the_limit_ends_within_a_second_of_reaching_it(self):
        def at_limit():
            text = read_text(os.path.join(group, "memory.current"), "")
            return not text or int(text) > 250 * MIB

        waits = []
        while not waits or (min(waits) >= 1 and len(waits) < 3):  # the machine may have been busy
            launch = self.start_scidex("--memory", "256M", "--analysis-id", "SDA-42", "--", "python3", "-c", "b=bytearray(1<<30)")
            group = launch.run()["group"]
            eventually(at_limit, 30, every=0.005)
            begin = time.monotonic()
            result = launch.wait()
            waits.append(time.monotonic() - begin)
        self.assertLess(min(waits), 1)
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")
        self.assertEqual(len(result.stderr.splitlines()), 1, result)
        short = result.run["run_id"][-8:]
        self.assertRegex(
            result.stderr,
            rf"^scidex-run: SDA-42 killed: memory limit 256 MiB reached after .* \(peak 256 MiB, .*\)\. Details: scidexctl why {short}\n$",
        )
        self.assertFalse(os.path.exists(group))

    def test_the_event_says_peak_limit_split_processes_and_timeline(self):
        result = self.run_scidex("--memory", "128M", "--", "sh", "-c", f"sleep 1000 & {helper('leaker')} anon 600 60")
        self.assert_status(result, 137)
        run, (event,) = self.assert_recorded(result.run["run_id"], "memory")
        self.assertEqual(event["memory_limit_bytes"], 128 * MIB)
        self.assertLessEqual(event["memory_peak_bytes"], 128 * MIB)
        self.assertGreater(event["memory_peak_bytes"], 120 * MIB)
        self.assertGreater(event["private_peak_bytes"], 40 * MIB)
        self.assertGreaterEqual(event["oom_events"], 1)
        self.assertIsNotNone(event["anon_bytes"])
        self.assertIsNotNone(event["file_bytes"])
        self.assertIsNotNone(event["shmem_bytes"])
        # The kernel was quicker; what is listed is the last look before it.
        self.assertIn("leaker", {entry["comm"] for entry in event["processes"]})
        self.assertGreaterEqual(len(event["timeline"]["t_sec"]), 2)
        self.assertGreater(max(event["timeline"]["memory_bytes"]), 30 * MIB)
        self.assertTrue(event["evidence"])
        self.assertEqual(event["enforcement"], "kernel")
        self.assertEqual(run["not_enforced"], [])
        self.assertEqual(event["swap_limit_bytes"], 0)

    def test_all_processes_of_the_run_die_together(self):
        result = self.run_scidex(
            "--memory", "64M", "--", "sh", "-c", f"setsid sleep 1000 & sleep 1000 & {helper('leaker')} anon 300 0; echo survived")  # fmt: skip
        self.assert_status(result, 137)
        self.assertEqual(result.stdout, b"")
        self.assert_recorded(result.run["run_id"], "memory")

    def test_processes_that_share_the_limit_reach_it_together(self):
        leak = f"{helper('leaker')} anon 40 0"
        result = self.run_scidex("--memory", "96M", "--", "sh", "-c", f"{leak} & {leak} & {leak} & wait")
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")

    def test_a_run_below_its_limit_lives(self):
        result = self.run_scidex("--memory", "128M", "--", "sh", "-c", f"timeout 2 {helper('leaker')} anon 90 0; exit 0")
        self.assert_status(result, 0)
        self.assertGreater(result.run["memory_peak_bytes"], 90 * MIB)
        self.assert_recorded(result.run["run_id"], "completed", events=[])

    def test_a_limit_too_small_for_exec_is_memory(self):
        for size in ("4K", "100K"):
            with self.subTest(size=size):
                result = self.run_scidex("--memory", size, "--", "true")
                self.assert_status(result, 137)
                self.assert_verdict(result, "memory")

    def test_dev_shm_is_memory_and_why_says_so(self):
        result = self.run_scidex("--memory", "96M", "--", helper("leaker"), "shmem", "300", "0")
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")
        _, (event,) = self.assert_recorded(result.run["run_id"], "memory")
        why = subprocess.run(
            [self.world.program("scidexctl"), "why", result.run["run_id"]], env=self.world.environment(),
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip
        self.assertRegex(why, r"(?i)shm|shared memory|tmpfs", event)

    def test_an_oom_inside_a_sub_cgroup_of_the_run_is_still_its_own(self):
        script = f"""g={cgroup_mount()}$(sed -n 's/^0:://p' /proc/self/cgroup); mkdir $g/sub
            echo $$ >$g/sub/cgroup.procs && exec {helper('leaker')} anon 300 0"""
        result = self.run_scidex("--memory", "64M", "--", "sh", "-c", script)
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")
        self.assertEqual(self.world.groups(), [])

    def test_memory_high_slows_and_does_not_kill(self):
        result = self.run_scidex(
            "--memory", "512M", "--memory-high", "64M", "--timeout", "5s", "--grace", "1s", "--", helper("leaker"), "anon", "100", "0")  # fmt: skip
        self.assertEqual(result.run["memory_high_bytes"], 64 * MIB)
        self.assertNotEqual(result.run["verdict"], "memory", result)

    def test_kill_9_at_the_limit_is_crashed(self):
        launch = self.start_scidex("--memory", "128M", "--", helper("leaker"), "anon", "100", "0")
        self.assertEqual(launch.read_line(), "holds")
        os.kill(launch.main_pid(), 9)
        result = launch.wait()
        self.assert_status(result, 137)
        self.assert_verdict(result, "crashed")
        self.assert_recorded(result.run["run_id"], "crashed", events=[])

    def test_twenty_ooms_at_once_are_twenty_events(self):
        count = 6 if IN_VM else 20
        launches = [self.start_scidex("--memory", "32M", "--", helper("leaker"), "anon", "200", "0") for _ in range(count)]
        for launch in launches:
            result = launch.wait(120)
            self.assert_status(result, 137)
            self.assert_recorded(result.run["run_id"], "memory")

    def test_it_never_swaps(self):
        if not IN_VM:
            skip("swap is switched on only in the guest")
        require("disk", "root")
        subprocess.run(["mkswap", disk_path()], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["swapon", disk_path()], check=True)
        try:
            before = counter("/proc/vmstat", "pswpout")
            result = self.run_scidex("--memory", "96M", "--", helper("leaker"), "anon", "500", "0")
            after = counter("/proc/vmstat", "pswpout")
        finally:
            subprocess.run(["swapoff", disk_path()], check=True)
        self.assert_status(result, 137)
        self.assertEqual(after, before)


class Ancestor(MemoryTest):
    """An OOM that somebody else's limit caused."""

    alone = True  # there is one disk

    def limit_parent(self, size):
        write_text(os.path.join(self.here().tree_parent, "memory.max"), str(size))

    def test_an_ancestors_limit_is_host_oom(self):
        self.new_world()
        self.limit_parent(128 * MIB)
        result = self.run_scidex("--memory", "1G", "--", helper("leaker"), "anon", "600", "0")
        self.assert_status(result, 137)
        self.assert_verdict(result, "host-oom")
        _, (event,) = self.assert_recorded(result.run["run_id"], "host-oom")
        self.assertEqual(event["oom_events"], 0)
        self.assertIn("killed", result.stderr)
        self.assertNotIn("memory limit 1", result.stderr)

    @needs("disk")
    def test_also_when_the_groups_own_max_counter_had_grown_before(self):
        self.new_world()
        script = f"head -c 200M {disk_path()} >/dev/null; exec {helper('leaker')} anon 40 0"
        launch = self.start_scidex("--memory", "64M", "--", "sh", "-c", script)
        self.assertEqual(launch.read_line(120), "holds")
        group = launch.run()["group"]
        events = os.path.join(group, "memory.events.local")
        self.assertGreater(counter(events, "max"), 0)
        self.assertEqual(counter(events, "oom"), 0)
        self.limit_parent(16 * MIB)
        result = launch.wait()
        self.assert_status(result, 137)
        self.assert_verdict(result, "host-oom")
        _, (event,) = self.assert_recorded(result.run["run_id"], "host-oom")
        self.assertGreater(event["max_events"], 0)

    def test_a_neighbour_in_the_same_tree_is_not_blamed(self):
        self.new_world()
        innocent = self.start_scidex("--memory", "256M", "--", "sh", "-c", "echo ready; exec sleep 1000")
        innocent.read_line()
        guilty = self.run_scidex("--memory", "48M", "--", helper("leaker"), "anon", "200", "0")
        self.assert_verdict(guilty, "memory")
        self.assertEqual(self.world.show(innocent.run_id())["state"], "running")
        self.world.kill(innocent.run_id())
        result = innocent.wait()
        self.assert_verdict(result, "cancelled")


class Thrashing(MemoryTest):
    alone = True  # there is one disk

    def setUp(self):
        super().setUp()
        require("disk")

    def set_for_this_test(self, path, value, back=None):
        if not os.path.exists(path):
            return
        before = read_text(path).strip()
        # "0x0007" reads back what is written as y.
        self.addCleanup(write_text, path, before if back is None else back if int(before, 0) else "n")
        write_text(path, value)

    @needs("io-controller")
    def test_a_program_that_thrashes_at_its_limit_ends_as_memory_with_that_detail(self):
        world = self.new_world()
        # What is tested is what scidex makes of the kernel's figure. With MGLRU (Debian's 6.12) this load counts as 60 to
        # 75 % stalled, with the older lists as 90 %. And without read-ahead a touch is one page.
        self.set_for_this_test("/sys/kernel/mm/lru_gen/enabled", "n", "y")
        self.set_for_this_test(f"/sys/block/{os.path.basename(disk_path())}/queue/read_ahead_kb", "0")
        launch = world.start(
            "--memory", "32M", "--thrash", "8s", "--timeout", "200s", "--grace", "2s", "--",
            helper("thrasher"), disk_path(), "35", "1000", env={"THRASHER_READERS": "12"},
        )  # fmt: skip
        # First to the limit, then the disk becomes as slow as a real one under such a load: the emulated one reads from
        # the host's memory. With twelve readers hardly a moment passes in which none waits for a page it had before.
        events = os.path.join(launch.run()["group"], "memory.events.local")
        eventually(lambda: counter(events, "max") > 100, 10, "the readers are at their limit")
        number = os.stat(disk_path()).st_rdev
        write_text(os.path.join(world.tree_parent, "io.max"), f"{os.major(number)}:{os.minor(number)} riops=100")
        result = launch.wait(30)
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory", "thrashing")
        _, (event,) = self.assert_recorded(result.run["run_id"], "memory")
        self.assertIn("thrashing", event["detail"])
        self.assertEqual(event["oom_events"], 0)
        self.assertGreater(event["psi_memory_full_sec"], 0.8 * 8)
        self.assertEqual(event["signals"][0]["signal"], "TERM")

    def test_a_reader_of_a_file_much_larger_than_its_limit_lives(self):
        result = self.run_scidex(
            "--memory", "32M", "--thrash", "4s", "--timeout", "200s", "--", "sh", "-c",
            f"for i in 1 2 3; do dd if={disk_path()} of=/dev/null bs=1M count=400 2>/dev/null || exit 1; done", timeout=30,
        )  # fmt: skip
        self.assert_status(result, 0)
        self.assert_verdict(result, "completed")
        self.assertGreater(result.run["max_events"], 0)

    def test_thrash_infinity_switches_it_off(self):
        result = self.run_scidex("--memory", "32M", "--thrash", "infinity", "--", helper("thrasher"), disk_path(), "64", "5")
        self.assert_status(result, 0)

    def test_kill_9_of_a_run_whose_max_counter_has_grown_is_crashed(self):
        launch = self.start_scidex(
            "--memory", "32M", "--", "sh", "-c", f"head -c 100M {disk_path()} >/dev/null; echo $$; exec sleep 1000")  # fmt: skip
        os.kill(int(launch.read_line(60)), 9)
        result = launch.wait()
        self.assert_verdict(result, "crashed")
        self.assertGreater(result.run["max_events"], 0)
