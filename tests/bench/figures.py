"""What the benches share: how figures are summed up, shown, promised and written.

A bench makes one Report: tables (shown, and in the JSON as they stand), promises (a figure and the most it may be) and
what this machine lacks. `--json FILE` writes it, `--check` makes a broken promise the exit status. tests/bench/run starts
them all and puts their files together. Besides: what several of them read of a process (its processor time, its calls).

Figures are medians with their quartiles, since a machine's other work makes only outliers upwards; what is compared was
measured in turns (A B A B …) in one run. Where a bound is promised with a confidence, `interval` has it by the bootstrap.
"""

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scidextest  # noqa: E402

SCHEMA = 1


def first_line(*command):
    """Of what a command prints; None where it is not installed."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None


def revision():
    """Of the sources, None where there is no git or they are not from it (in a guest)."""
    return first_line("git", "-c", "safe.directory=*", "-C", scidextest.REPO, "describe", "--always", "--dirty", "--abbrev=12")


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), platform.machine())  # fmt: skip
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "emulated": scidextest.IN_VM,
        "controllers": sorted(scidextest.host_controllers()),
        "init": "systemd" if scidextest.has_systemd() else "other",
        "load": os.getloadavg(),
    }


def versions():
    commands = {
        "scidex": (scidextest.program("scidex-run"), "--version"),
        "coreutils": ("timeout", "--version"),
        "systemd": ("systemctl", "--version"),
        "crun": ("crun", "--version"),
        "python": ("python3", "--version"),
    }
    found = {name: first_line(*command) for name, command in commands.items()}
    return {name: line for name, line in found.items() if line}


@contextlib.contextmanager
def skips_end():
    """What a test skips for is here the end, said in one line."""
    try:
        yield
    except unittest.SkipTest as missing:
        raise SystemExit(f"{os.path.basename(sys.argv[0])}: {missing}") from None


def require(*what):
    """scidextest.require(): ends where the machine lacks one of them."""
    with skips_end():
        scidextest.require(*what)


def processor_sec(pid):
    """That a process has had, to the nanosecond (schedstat)."""
    return int(scidextest.read_text(f"/proc/{pid}/schedstat").split()[0]) / 1e9


@contextlib.contextmanager
def strace(pid, log, *options):
    """On a process that runs already, attached when it is entered; LOG is complete when it is left."""
    tracer = subprocess.Popen(["strace", *options, "-o", log, "-p", str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)  # fmt: skip
    try:
        said = os.read(tracer.stderr.fileno(), 4096) if scidextest.wait_readable(tracer.stderr.fileno(), 20) else b""
        if b"attached" not in said:
            raise SystemExit(f"strace does not attach: {said.decode(errors='replace').strip() or 'it says nothing'}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()


def summary(values):
    """Median, quartiles, the ends and their number; None of nothing."""
    if not values:
        return None
    values = sorted(values)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    found = {"median": median, "quartile_1": low, "quartile_3": high, "min": values[0], "max": values[-1]}
    return {**{name: round(value, 6) for name, value in found.items()}, "n": len(values)}


def interval(values, statistic=statistics.median, confidence=0.95, rounds=2000, seed=1):
    """The bootstrap's confidence interval (percentiles) of a statistic; the seed makes it the same each time."""
    chance = random.Random(seed)
    found = sorted(statistic(chance.choices(values, k=len(values))) for _ in range(rounds))
    tail = (1 - confidence) / 2
    return found[int(rounds * tail)], found[int(rounds * (1 - tail)) - 1]


def parser(text):
    """Of the options that all benches have. TEXT: the bench's docstring, whose first line it takes."""
    made = argparse.ArgumentParser(description=text.splitlines()[0])
    made.add_argument("--json", metavar="FILE", help="write the figures there too")
    made.add_argument("--check", action="store_true", help="fail where a promise is broken")
    return made


class Report:
    def __init__(self, name):
        self.document = {
            "schema": SCHEMA, "bench": name, "revision": revision(), "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": machine(), "versions": versions(), "tables": [], "promises": [], "left_out": {}, "left_behind": [],
        }  # fmt: skip
        self.problems = []
        here = self.document["machine"]
        controllers = " ".join(here["controllers"]) or "none"
        where = "emulated" if here["emulated"] else "native"
        print(f"\n{name}: {where}, {here['cpus']} CPUs, Linux {here['kernel']}, v2 controllers: {controllers}", flush=True)

    def table(self, title, columns, rows):
        """COLUMNS: names with units. ROWS: lists of words and numbers, None what there is none of."""
        self.document["tables"].append({"title": title, "columns": columns, "rows": rows})
        words = [columns] + [[self.word(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in words) for i in range(len(columns))]
        print(f"\n{title}")
        for row in words:
            print("  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]).rstrip())
        sys.stdout.flush()

    def word(self, cell):
        """Small numbers with three significant digits, so that 0.0012 is not 0.00."""
        if cell is None:
            return "-"
        if isinstance(cell, float):
            size = abs(cell)
            digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 or cell == 0 else 2 - math.floor(math.log10(size))
            return f"{cell:.{digits}f}"
        return str(cell)

    def promise(self, what, value, most, unit="", checked=True):
        """That VALUE is at most MOST. One that is not CHECKED is shown and noted, but is no failure: a machine decides it."""
        kept = value <= most
        self.document["promises"].append({"what": what, "value": round(value, 6), "at_most": most, "unit": unit, "kept": kept, "checked": checked})
        word = "ok" if kept else "NOT KEPT" if checked else "not kept, not checked here"
        print(f"{what}: {self.word(float(value))}{unit} (at most {most:g}{unit}): {word}", flush=True)
        if checked and not kept:
            self.problems.append(what)

    def problem(self, what):
        """What fails as a promise that is not kept does."""
        print(f"PROBLEM: {what}", flush=True)
        self.problems.append(what)

    def leave_out(self, name, reason):
        self.document["left_out"][name] = reason
        print(f"{name}: not here: {reason}", flush=True)

    def say_if_no_memory(self, so):
        """Where the v2 tree has no memory controller: what is measured instead."""
        if "memory" not in scidextest.host_controllers():
            self.leave_out("memory accounting", f"no v2 memory controller, so {so}")

    def end(self, options, left=()):
        """Writes what was asked for; the exit status. LEFT: what the worlds found at their end, which fails always."""
        self.document["left_behind"] = list(left)
        for problem in left[:10]:
            print(f"left behind: {problem}", file=sys.stderr)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(self.document, file, indent=1)
                file.write("\n")
        return 1 if left or (options.check and self.problems) else 0
