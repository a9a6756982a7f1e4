#!/usr/bin/python3
"""What one short launch costs: scidex-run beside its peers, in one run on one machine.

    tests/bench/launch.py [--rounds N] [--json FILE] [--check]

The command is `true`, so that what is measured is the wrapper. The peers take turns (A B C A B C …), since a machine's
speed drifts; launch-bench, in C, starts and times them. Medians and quartiles, and the ratios to the bare command and to
coreutils `timeout`: under emulation only the ratios mean something. What a machine lacks is left out and said.

--check fails if scidex-run with a running supervisor costs more than 1.0 x timeout (which makes no cgroup at all) or more
than 0.4 x systemd-run --scope. Called so by ./check in the guest, where all peers are.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scidextest  # noqa: E402
from scidextest import Client, World, helper, host_controllers, pidfd, program, wait_readable  # noqa: E402

COMMAND = "/bin/true"
MOST_OF_TIMEOUT = 1.0
MOST_OF_SCOPE = 0.4


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()[0] if done.stdout else None


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), platform.machine())  # fmt: skip
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "emulated": scidextest.IN_VM,
        "controllers": sorted(host_controllers()),
        "coreutils": first_line("timeout", "--version"),
        "systemd": first_line("systemctl", "--version") if scidextest.has_systemd() else None,
        "scidex": first_line(program("scidex-run"), "--version"),
    }


class Bench:
    def __init__(self, rounds):
        self.rounds = rounds
        self.entries = {}
        self.left_out = {}
        self.warm = World()
        self.cold = World()
        self.cold_places = []

    def add(self, name, *words, environment=()):
        self.entries[name] = [*environment, *words]

    def leave_out(self, name, reason):
        self.left_out[name] = reason

    def add_peers(self):
        self.add("bare", COMMAND)
        self.add("coreutils timeout", "timeout", "1800", COMMAND)
        if scidextest.has_systemd():
            self.add(
                "systemd-run --scope", "systemd-run", "--quiet", "--scope", "-p", "MemoryMax=2G", "-p", "RuntimeMaxSec=1800", COMMAND)  # fmt: skip
        else:
            self.leave_out("systemd-run --scope", "systemd is not the init")
        self.add_cgroup_tools()
        if self.warm.tree_parent:
            self.add("floor (no scidex)", helper("launch-floor"), self.warm.tree_parent, COMMAND)
        else:
            self.leave_out("floor (no scidex)", "no cgroup can be made")

    def add_cgroup_tools(self):
        name = "cgcreate+cgset+cgexec+cgdelete"
        if "memory" not in host_controllers() or shutil.which("cgexec") is None:
            self.leave_out(name, "no v2 memory controller" if shutil.which("cgexec") else "cgroup-tools are not installed")
            return
        group = "memory,pids:scidex-bench"
        self.add(
            name, "cgcreate", "-g", group, ":then", "cgset", "-r", "memory.max=2147483648", "-r", "pids.max=4096", "scidex-bench",
            ":then", "cgexec", "-g", group, COMMAND, ":then", "cgdelete", "-g", group,
        )  # fmt: skip

    def add_ours(self):
        self.warm.start_daemon()
        launch = (program("scidex-run"), "--quiet", COMMAND)
        self.add("scidex-run, supervisor running", *launch, environment=self.environment(self.warm))
        # Each first launch its own world: a supervisor stays for 10 s, and would make the next one warm.
        for index in range(self.rounds):
            place = os.path.join(self.cold.runtime, str(index))
            os.mkdir(place, 0o700)
            self.cold_places.append(place)
            if self.cold.tree_parent:
                os.mkdir(os.path.join(self.cold.tree_parent, f"tree-{index}"))
        self.add("scidex-run, first launch", *launch, environment=self.environment(self.cold, "%d"))

    def environment(self, world, index=None):
        runtime = world.runtime if index is None else os.path.join(world.runtime, index)
        words = [f"SCIDEX_TEST={world.test_id}", f"SCIDEX_SOCKET={runtime}/control", f"XDG_STATE_HOME={runtime}"]
        if world.tree:
            words.append("SCIDEX_TREE=" + (world.tree if index is None else os.path.join(world.tree_parent, f"tree-{index}")))
        return words

    def measure(self):
        """Name to sorted milliseconds."""
        command = [helper("launch-bench"), str(self.rounds)]
        for words in self.entries.values():
            command += [*words, ":::"]
        done = subprocess.run(command[:-1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0 or done.stderr:
            raise SystemExit(f"launch bench: {done.stderr[:4000]}")
        times = {name: [] for name in self.entries}
        names = list(self.entries)
        for line in done.stdout.splitlines():
            _, entry, nanoseconds = line.split()
            times[names[int(entry)]].append(int(nanoseconds) / 1e6)
        return {name: sorted(values) for name, values in times.items()}

    def end(self):
        for place in self.cold_places:
            with contextlib.suppress(OSError), Client(os.path.join(place, "control")) as client:
                pid = client.call("status")["status"]["pid"]
                with pidfd(pid) as fd:
                    signal.pidfd_send_signal(fd, signal.SIGTERM)
                    wait_readable(fd, 15)
        scidextest.ScidexTest.worlds = [self.warm, self.cold]
        return self.warm.finish() + self.cold.finish()


def summarise(times):
    bare, timeout = statistics.median(times["bare"]), statistics.median(times["coreutils timeout"])
    rows = {}
    for name, values in times.items():
        low, median, high = statistics.quantiles(values, n=4)
        rows[name] = {
            "median_ms": round(median, 3),
            "quartile_1_ms": round(low, 3),
            "quartile_3_ms": round(high, 3),
            "times_bare": round(median / bare, 2),
            "times_timeout": round(median / timeout, 2),
            "launches": len(values),
        }
    return rows


def show(rows, left_out):
    width = max(map(len, [*rows, *left_out]))
    print(f"{'one launch of true':{width}}  median ms   quartiles ms      x bare  x timeout")
    for name, row in sorted(rows.items(), key=lambda item: item[1]["median_ms"]):
        quartiles = f"{row['quartile_1_ms']:.2f}-{row['quartile_3_ms']:.2f}"
        print(f"{name:{width}}  {row['median_ms']:9.2f}   {quartiles:15}  {row['times_bare']:7.2f}  {row['times_timeout']:9.2f}")
    for name, reason in left_out.items():
        print(f"{name:{width}}  not here: {reason}")


def judge(rows):
    """What is slower than promised, in words."""
    ours = rows["scidex-run, supervisor running"]["median_ms"]
    failures = []
    for peer, most in (("coreutils timeout", MOST_OF_TIMEOUT), ("systemd-run --scope", MOST_OF_SCOPE)):
        if peer in rows:
            ratio = ours / rows[peer]["median_ms"]
            word = "ok" if ratio <= most else "TOO SLOW"
            print(f"scidex-run with a running supervisor is {ratio:.2f} x {peer} (promised: at most {most}): {word}")
            if ratio > most:
                failures.append(peer)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25 if scidextest.IN_VM else 60)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--check", action="store_true", help="fail if scidex-run is slower than promised")
    arguments = parser.parse_args()
    scidextest.become_subreaper()
    bench = Bench(arguments.rounds)
    try:
        bench.add_peers()
        bench.add_ours()
        rows = summarise(bench.measure())
    finally:
        problems = bench.end()
    show(rows, bench.left_out)
    failures = judge(rows)
    if arguments.json:
        document = {"schema": 1, "machine": machine(), "launches": rows, "left_out": bench.left_out}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
    for problem in problems:
        print(f"left behind: {problem}", file=sys.stderr)
    return 1 if problems or (arguments.check and failures) else 0


if __name__ == "__main__":
    sys.exit(main())
