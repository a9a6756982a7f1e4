#!/usr/bin/python3
"""What 0, 1, 100, 1,000 and 10,000 runs cost the supervisor: wake-ups, processor, memory; and how late kills and launches get.

    tests/bench/scale.py [--runs N,N,…] [--window SECONDS] [--json FILE] [--check]

Real launches (scidex-run and a sleep each), added to one supervisor until the next number is there. Then, over a window in
which nothing happens to any of them: how often the supervisor woke up (voluntary context switches), its share of one
processor, its memory. Then, with all of them there, launches of `true` and runs that reach a deadline, one by one, and a
list of all; and at the end how long all of them take to be over.

The runs have no memory limit where the host has no memory controller: sampling would be what is measured. What a run
takes of descriptors (three) bounds their number where the limit on these can't be raised: then it is as many as go.

In "launch of true ms" is all that a Python caller waits for, its own fork and exec of the launcher too: launch.py has the
launch alone. "launcher KiB" is the memory that a waiting launcher has for itself and has written, a median. What our asking for the
number of runs costs the supervisor is measured, too, and taken off the processor time of the launches.
"""

import contextlib
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

import figures
from figures import processor_sec
from scidextest import IN_VM, World, become_subreaper, eventually, helper, host_controllers, parse_time, program, read_text

PROBES = 20
SETTLE_SEC = 4  # rounds of samples that were held up by the launches
SETTLE_MOST_SEC, SETTLED_SHARE = 180, 0.02  # and until the recorder has written what was launched
WAKEUPS_MOST = 1.2  # a second, by runs: one, and what falls beside the whole second
RUN_KIB_MOST = 4
MANY, MANY_MIB_MOST = 10_000, 64
END_MOST = 3  # the supervisor's processor time of one of many ends at once, beside that of a launch: each end the same work
LISTS, ROW_MOST = 3, 3  # each row the same work, however many there are
FDS_A_RUN, FDS_WANTED = 3, 65536


def memory_kib(pid):
    """Of a process: resident, what is its own, and of that what it has written."""
    text = read_text(f"/proc/{pid}/smaps_rollup")
    value = {key: int(number) for key, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return value["Rss"], value["Private_Clean"] + value["Private_Dirty"], value["Private_Dirty"]


def wakeups(pid):
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", read_text(f"/proc/{pid}/status"), re.MULTILINE).group(1))


class Scale:
    def __init__(self, options, report):
        self.options, self.report = options, report
        self.world, self.launchers, self.rows = World(), [], []
        self.launch_cpu, self.polls = 0, 0  # seconds of the supervisor's for all launches; how often it was asked meanwhile
        self.world.start_daemon()
        self.limits = () if "memory" in host_controllers() else ("--memory", "infinity")
        self.pid = self.world.supervisor_pid()

    def launch_until(self, number):
        """Seconds that it took."""
        before, self.polls = processor_sec(self.pid), 0
        command = [program("scidex-run"), "--quiet", "--timeout", "10h", *self.limits, "--", helper("idle")]
        environment, begin = self.world.environment(), time.monotonic()
        while len(self.launchers) < number:
            self.launchers.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            if len(self.launchers) % 50 == 0 or len(self.launchers) == number:
                eventually(lambda: self.running() >= len(self.launchers), 60, f"{len(self.launchers)} runs are running")
        took, cpu = time.monotonic() - begin, processor_sec(self.pid) - before
        self.launch_cpu += cpu - self.polls * self.poll_cpu() if self.polls else 0
        return took

    def running(self):
        self.polls += 1
        return self.world.status()["runs"]

    def poll_cpu(self):
        """Seconds of the supervisor's for one question of how many runs there are."""
        before = processor_sec(self.pid)
        for _ in range(PROBES):
            self.world.status()
        return (processor_sec(self.pid) - before) / PROBES

    def settle(self, recorder):
        end = time.monotonic() + SETTLE_MOST_SEC
        while time.monotonic() < end:
            before = processor_sec(recorder)
            time.sleep(SETTLE_SEC)
            if processor_sec(recorder) - before < SETTLED_SHARE * SETTLE_SEC:
                return

    def watch(self):
        """Wake-ups a second and shares of a processor, supervisor and recorder, while nothing happens."""
        pids = self.pid, self.world.recorder_pid()
        self.settle(pids[1])
        before, begin = [(wakeups(pid), processor_sec(pid)) for pid in pids], time.monotonic()
        time.sleep(self.options.window)
        after, seconds = [(wakeups(pid), processor_sec(pid)) for pid in pids], time.monotonic() - begin
        return [[(b - a) / seconds for a, b in zip(*pair)] for pair in zip(before, after)]

    def probe(self):
        """Milliseconds from the deadline to TERM and to the empty group; of a launch of `true`."""
        ids, launches = [], []
        for _ in range(PROBES):
            begin = time.monotonic()
            result = self.world.run(*self.limits, "--quiet", "--", "true", report=False)
            launches.append((time.monotonic() - begin) * 1e3)
            if result.status != 0:
                raise SystemExit(f"scale: a launch of true failed with {len(self.launchers)} runs: {result}")
            ids.append(self.world.run(*self.limits, "--quiet", "--timeout", "50ms", "--", "sleep", "1000").run["run_id"])
        late = []
        for run_id in ids:
            (event,) = self.world.events(run=run_id)
            late.append((parse_time(event["empty_at"]) - parse_time(event["deadline_at"])) * 1e3)
        return figures.summary(late), figures.summary(launches)

    def list(self):
        """Seconds until all runs are listed; of them the supervisor's processor time."""
        before, begin, n = processor_sec(self.pid), time.monotonic(), 0
        for _ in range(LISTS):
            n += len(self.world.list())
        if n < LISTS * len(self.launchers):
            raise SystemExit(f"scale: {n} rows in {LISTS} lists of {len(self.launchers)} runs")
        return (time.monotonic() - begin) / LISTS, (processor_sec(self.pid) - before) / LISTS

    def step(self, number):
        took, had = self.launch_until(number), len(self.rows) and self.rows[-1]["runs"]
        watched = self.watch()
        rss, own, _ = memory_kib(self.pid)
        launchers = [memory_kib(launcher.pid)[2] for launcher in self.launchers[-PROBES:]]
        late, launches = self.probe()
        listed, listed_cpu = self.list()
        self.rows.append({
            "runs": number, "launches_sec": (number - had) / took if number > had else None,
            "wakeups": watched[0][0], "cpu": watched[0][1], "recorder_cpu": watched[1][1], "rss": rss, "own": own,
            "launcher": statistics.median(launchers) if launchers else None,
            "fds": len(os.listdir(f"/proc/{self.pid}/fd")), "late": late, "launches": launches,
            "listed_sec": listed, "listed_cpu": listed_cpu,
        })  # fmt: skip
        row = self.rows[-1]  # the next number may take a quarter of an hour, and then not be reached
        print(f"  {number} runs: {row['wakeups']:.2f} wake-ups/s, CPU {row['cpu'] * 100:.2f} %, RSS {rss / 1024:.1f} MiB, private {own / 1024:.1f} MiB", flush=True)

    def end_all(self):
        """Seconds until all are over, asked at once; of them the supervisor's processor time."""
        begin, before = time.monotonic(), processor_sec(self.pid)
        for launcher in self.launchers:
            launcher.send_signal(signal.SIGTERM)
        for launcher in self.launchers:
            launcher.wait()
        return time.monotonic() - begin, processor_sec(self.pid) - before

    def show(self, ended, ended_cpu):
        self.report.table(
            "The supervisor with runs that sleep",
            ["runs", "wake-ups/s", "CPU %", "recorder CPU %", "RSS MiB", "private MiB", "KiB a run", "launcher KiB", "fds", "launched/s",
             "deadline to empty ms", "quartile 3", "launch of true ms",
             "list ms", "its CPU ms"],
            [[row["runs"], row["wakeups"], row["cpu"] * 100, row["recorder_cpu"] * 100, row["rss"] / 1024, row["own"] / 1024, self.kib_a_run(row),
              row["launcher"], row["fds"], row["launches_sec"], row["late"]["median"], row["late"]["quartile_3"], row["launches"]["median"],
              row["listed_sec"] * 1e3, row["listed_cpu"] * 1e3] for row in self.rows],
        )  # fmt: skip
        number = len(self.launchers)
        if number == 0:
            self.report.leave_out("what an end costs", "there were no runs")
            return
        self.report.table(
            "All of them ended at once", ["runs", "seconds", "runs/s", "CPU ms a run", "CPU ms a launch"],
            [[number, ended, number / ended, ended_cpu / number * 1e3, self.launch_cpu / number * 1e3]],
        )  # fmt: skip
        self.report.promise(f"CPU of an end of {number} at once, beside a launch", ended_cpu / self.launch_cpu, END_MOST, " x")

    def kib_a_run(self, row):
        first = self.rows[0]
        return (row["own"] - first["own"]) / (row["runs"] - first["runs"]) if row["runs"] >= first["runs"] + 100 else None

    def promise(self):
        first, last = self.rows[0], self.rows[-1]
        for row in self.rows:
            most = 0.1 if row["runs"] == 0 else WAKEUPS_MOST
            if row["runs"] <= 1000:
                self.report.promise(f"wake-ups with {row['runs']} runs", row["wakeups"], most, " a second")
        if last["runs"] >= MANY:
            self.report.promise(f"resident with {last['runs']} runs", last["rss"] / 1024, MANY_MIB_MOST, " MiB")
        if first is last:
            self.report.leave_out("what many runs cost beside few", f"measured with {last['runs']} only")
            return
        if last["runs"] >= 1000 and self.kib_a_run(last) is not None:
            self.report.promise(f"memory a run with {last['runs']}", self.kib_a_run(last), RUN_KIB_MOST, " KiB")
        few = [row for row in self.rows if 100 <= row["runs"] < last["runs"]]
        if few:
            self.report.promise(
                f"CPU of a row of a list of {last['runs']}, beside {few[0]['runs']}",
                (last["listed_cpu"] / last["runs"]) / (few[0]["listed_cpu"] / few[0]["runs"]), ROW_MOST, " x",
            )  # fmt: skip
        self.report.promise("a kill with many runs, beside one without", last["late"]["median"] / first["late"]["median"], 5, " x")


def what_goes(numbers, report):
    """Those of NUMBERS that the limits of this machine allow, and the most that they do in place of those that they don't."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError):  # without CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_NOFILE, (FDS_WANTED, FDS_WANTED))
        hard = FDS_WANTED
    pids = int(read_text("/proc/sys/kernel/pid_max"))
    most = min(hard // FDS_A_RUN, pids * 9 // 10 // 2) // 100 * 100
    for number in numbers:
        if number > most:
            report.leave_out(f"{number} runs", f"{hard} descriptors for the supervisor and {pids} pids are for {most}")
    return sorted({min(number, most) for number in numbers})


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--runs", default="0,1,100,300" if IN_VM else "0,1,100,1000,10000", help="how many, with commas")
    parser.add_argument("--window", type=float, default=20, help="seconds that each number is watched for")
    options = parser.parse_args()
    numbers = [int(number) for number in options.runs.split(",")]
    become_subreaper()
    report = figures.Report("scale")
    report.say_if_no_memory("the runs have no memory limit, and what a limit costs is not in it")
    numbers = what_goes(numbers, report)
    scale = Scale(options, report)
    try:
        for number in numbers:
            scale.step(number)
        scale.show(*scale.end_all())
        scale.promise()
    finally:
        for launcher in scale.launchers:
            launcher.kill()
            launcher.wait()
        left = scale.world.finish()
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
