"""What the benches share: how figures are summed up, shown, promised and written.

A bench makes one Report: tables (shown, and in the JSON as they stand), promises (a figure and the most it may be) and
what this machine lacks. `--json FILE` writes it, `--check` makes a broken promise the exit status. tests/bench/run starts
them all and puts their files together.

Figures are medians with their quartiles, since a machine's other work makes only outliers upwards; what is compared was
measured in turns (A B A B …) in one run. Where a bound is promised with a confidence, `interval` has it by the bootstrap.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scidextest  # noqa: E402

SCHEMA = 1


def first_line(*command):
    """Of what a command prints; None where it is not installed."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), platform.machine())  # fmt: skip
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "emulated": scidextest.IN_VM,
        "controllers": sorted(scidextest.host_controllers()),
        "init": "systemd" if scidextest.has_systemd() else "other",
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


def summary(values, digits=3):
    """Median, quartiles, the ends and their number; None of nothing."""
    if not values:
        return None
    values = sorted(values)
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {
        "median": round(median, digits), "quartile_1": round(low, digits), "quartile_3": round(high, digits),
        "min": round(values[0], digits), "max": round(values[-1], digits), "n": len(values),
    }  # fmt: skip


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
        self.document = {"schema": SCHEMA, "bench": name, "machine": machine(), "versions": versions(), "tables": [], "promises": [], "left_out": {}}
        self.problems = []

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
        if cell is None:
            return "-"
        if isinstance(cell, float):
            return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.1f}" if abs(cell) >= 100 else f"{cell:.2f}"
        return str(cell)

    def promise(self, what, value, most, unit="", checked=True):
        """That VALUE is at most MOST. One that is not CHECKED is shown and noted, but is no failure: a machine decides it."""
        kept = value <= most
        self.document["promises"].append({"what": what, "value": round(value, 4), "at_most": most, "unit": unit, "kept": kept, "checked": checked})
        print(f"{what}: {self.word(float(value))}{unit} (at most {most}{unit}): {'ok' if kept else 'NOT KEPT'}", flush=True)
        if checked and not kept:
            self.problems.append(what)

    def leave_out(self, name, reason):
        self.document["left_out"][name] = reason
        print(f"{name}: not here: {reason}", flush=True)

    def end(self, options):
        """Writes what was asked for; the exit status."""
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(self.document, file, indent=1)
                file.write("\n")
        return 1 if options.check and self.problems else 0
