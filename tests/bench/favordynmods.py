#!/usr/bin/python3
"""What the mount option favordynmods of cgroup2 gives to users whose process has to be moved, and what it costs.

    tests/bench/favordynmods.py [--rounds N] [--turns N] [--json FILE] [--check]

To move a process takes a lock that waits for an RCU grace period (7 to 15 ms, once per cool-down); with favordynmods (Linux
6.0, Documentation/admin-guide/cgroup-v2.rst) it doesn't wait, and every fork and exit pays a little for it. It is the
admin's choice, for all of the machine. In turns with and without: launches of `true` as an ordinary user and as root, and
children that end at once. Only in a guest: it remounts /sys/fs/cgroup.
"""

import statistics
import subprocess
import sys

import figures
import scidextest
from launch import OURS, Bench, environment_words, ordinary_user
from scidextest import cgroup_mount, helper, program

USER, FORK = "scidex-run, ordinary user", "fork and exit, each"
FORKS = 300
WORDS = WITHOUT, WITH = "without", "with"


def remount(favours):
    """With the options that a guest's cgroup2 has (tests/vm/guest/init.c), and that one or not: 6.1 has no word for `not`."""
    options = "remount,nosuid,nodev,noexec,nsdelegate,memory_recursiveprot" + (",favordynmods" if favours else "")
    subprocess.run(["mount", "--options-mode", "ignore", "-t", "cgroup2", "-o", options, "cgroup2", cgroup_mount()], check=True)
    with open("/proc/self/mounts", encoding="utf-8") as file:
        there = any(line.split()[2] == "cgroup2" and "favordynmods" in line.split()[3].split(",") for line in file)
    if there != favours:
        raise SystemExit(f"the kernel has not taken {options}")


def forks():
    """Microseconds for each child."""
    done = subprocess.run([helper("work"), "fork", str(FORKS)], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[0]) / FORKS / 1e3


def measure(bench, turns):
    found = {}
    for index in range(2 * turns):
        option = WORDS[index % 2]
        remount(option == WITH)
        for name, values in bench.measure().items():
            found.setdefault((name, option), []).extend(values)
        found.setdefault((FORK, option), []).extend(forks() for _ in range(5))
    remount(False)
    return found


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="launches of a kind in each turn")
    parser.add_argument("--turns", type=int, default=4, help="with, and as many without")
    options = parser.parse_args()
    if not scidextest.IN_VM:
        raise SystemExit("favordynmods: only in a guest (tests/vm/boot): it remounts the cgroup file system of the whole machine")
    scidextest.become_subreaper()
    report = figures.Report("favordynmods")
    bench = Bench(options.rounds, report)
    launch = (program("scidex-run"), "--quiet", "/bin/true")
    try:
        bench.warm.start_daemon()
        bench.add(OURS, *launch, environment=environment_words(bench.warm))
        bench.add_user(launch)
        found = measure(bench, options.turns)
    finally:
        problems = bench.end()
    if ordinary_user() is None:
        raise SystemExit("favordynmods: there is no ordinary user")
    rows = []
    for name in (USER, OURS, FORK):
        without, with_it = (figures.summary(found[name, option]) for option in WORDS)
        rows.append([f"{name}, {'us' if name == FORK else 'ms'}", without["median"], with_it["median"], with_it["median"] / without["median"], with_it["n"]])
    report.table("With and without favordynmods, medians", ["", "without", "with", "with / without", "n"], rows)
    ratio = statistics.median(found[USER, WITH]) / statistics.median(found[USER, WITHOUT])
    report.promise("an ordinary user's launch, with / without", ratio, 1.0, " x", checked=False)
    return report.end(options, problems)


if __name__ == "__main__":
    sys.exit(main())
