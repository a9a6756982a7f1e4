#!/usr/bin/python3
"""How many kills are recorded in a second, and what the disk has to do with it.

    tests/bench/record.py [--quick] [--json FILE] [--check]

The recorder alone, fed as a supervisor feeds it (at most 32 rows that are not acknowledged): kills one by one, each
waited for, and as many as it takes. Then end to end: 200 runs that sleep, whose deadlines fall together; from the first
deadline until the last launcher has been told of a committed event. Each with the record on a disk and in memory (tmpfs), in turns.
A kill is acknowledged when it is on the disk; kills that wait together share one transaction and one fsync, so a disk
bounds the transactions, not the kills. How many there were is counted from outside: fdatasync by strace, in a turn that is
not timed. A kill that is refused, or is not in the record afterwards, ends the bench: it would pass for a fast one.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from figures import Report, parser, scidextest, strace, summary
from feeder import Feeder  # isort: skip (where it lies is known from figures on)
from scidextest import SLOW, World, eventually, parse_time, read_text

PLACES = {"disk": "/var/tmp", "memory": "/dev/shm"}
ONE_BY_ONE, TOGETHER = (200, 1000) if SLOW == 1 else (50, 300)
RUNS = 200 if SLOW == 1 else 60
ROUNDS, QUICK_ROUNDS = 7, 2
AHEAD_SEC = 2 * SLOW  # of the deadlines, which are set one by one
TOGETHER_FACTOR = 3.0  # promised on a disk: kills together of kills one by one


def is_in_memory(path):
    done = subprocess.run(["stat", "--file-system", "--format", "%T", path], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip() in ("tmpfs", "ramfs")


@contextlib.contextmanager
def feeder_in(place):
    directory = tempfile.mkdtemp(prefix="sx-", dir=place)
    feeder = Feeder(directory).start()
    try:
        yield feeder
    finally:
        feeder.remove()
        shutil.rmtree(directory)


def kills(feeder):
    """In the record; all that were sent are acknowledged."""
    feeder.settle()
    if feeder.refused:
        raise SystemExit(f"record: {len(feeder.refused)} kills were refused: {feeder.refused[0]}")
    return feeder.sql("SELECT count(*) FROM watchdog_events")[0][0]


def feed(feeder, number, one_by_one):
    for _ in range(number):
        feeder.event()
        if one_by_one:
            feeder.settle()
    feeder.settle()


def rate(feeder, number, one_by_one):
    """Kills a second."""
    feed(feeder, 1, True)
    before, begin = kills(feeder), time.monotonic()
    feed(feeder, number, one_by_one)
    seconds, stored = time.monotonic() - begin, kills(feeder) - before
    if stored != number:
        raise SystemExit(f"record: {stored} of {number} kills are in the record")
    return number / seconds


def syncs_for(place, number):
    """How often the recorder waited for the disk for that many kills together."""
    with feeder_in(place) as feeder:
        feed(feeder, 1, True)
        log = os.path.join(feeder.directory, "strace")
        with strace(feeder.process.pid, log, "-f", "-e", "trace=fdatasync,fsync"):
            feed(feeder, number, False)
        kills(feeder)
        syncs = len([line for line in read_text(log).splitlines() if "sync(" in line])
    if syncs == 0:
        raise SystemExit("record: strace has counted no sync")
    return syncs


class Ends:
    """A supervisor whose record lies in PLACE, and runs that end all at once."""

    def __init__(self, place):
        self.world = World()
        self.state = tempfile.mkdtemp(prefix="sx-", dir=place)
        self.world.state = self.state
        self.world.database = os.path.join(self.state, "scidex", "spool.sqlite")
        self.world.start_daemon()

    def turn(self, number):
        """Runs a second, from the deadline that they have to the last launcher's end."""
        runs = [self.world.start("--timeout", "1h", "--quiet", "--", "sleep", "1000") for _ in range(number)]
        rows = eventually(lambda: len(found := [row for row in self.world.list() if row["pid"]]) == number and found, 60, every=0.1)
        begin = time.time() + AHEAD_SEC
        with self.world.client() as client:
            for row in rows:
                client.call("set", run=row["run_id"], timeout_usec=int((begin - parse_time(row["launched_at"])) * 1e6))
        ended = [run.wait() for run in runs]
        end = time.time()
        for result in ended:
            if result.run is None or result.run["verdict"] != "timeout":
                raise SystemExit(f"record: a run did not end by its deadline: {result}")
        self.world.launches.clear()
        return number / (end - begin)

    def end(self):
        problems = self.world.finish()
        shutil.rmtree(self.state, ignore_errors=True)
        return problems


def measure_alone(places, rounds):
    found = {}
    for _ in range(rounds):
        for name, place in places.items():
            with feeder_in(place) as feeder:
                found.setdefault((name, "one by one"), []).append(rate(feeder, ONE_BY_ONE, True))
                found.setdefault((name, "together"), []).append(rate(feeder, TOGETHER, False))
    return found


def measure_ends(places, rounds, number):
    found, left, all_ends = {}, [], {}
    try:
        for name, place in places.items():
            all_ends[name] = Ends(place)
        for _ in range(rounds):
            for name, ends in all_ends.items():
                found.setdefault((name, f"{number} runs end"), []).append(ends.turn(number))
    finally:
        scidextest.ScidexTest.worlds = [ends.world for ends in all_ends.values()]  # of each other they are known
        for ends in all_ends.values():
            left += ends.end()
    return found, left


def show(report, found):
    rows = []
    for (place, what), values in found.items():
        one = summary(values)
        rows.append([f"{what}, record in {place}" if place == "memory" else f"{what}, record on {place}", one["median"], one["quartile_1"], one["quartile_3"], one["n"]])  # fmt: skip
    report.table("kills recorded in a second", ["", "median", "quartile 1", "quartile 3", "turns"], rows)


def main():
    options = parser(__doc__)
    options.add_argument("--quick", action="store_true", help="few turns")
    options = options.parse_args()
    scidextest.become_subreaper()
    report, places = Report("record"), dict(PLACES)
    if is_in_memory(places["disk"]):
        report.leave_out("disk", f"{places.pop('disk')} is in memory; nor what is promised of a disk")
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    found = measure_alone(places, rounds)
    ends, left = measure_ends(places, rounds, RUNS)
    found.update(ends)
    show(report, found)
    if "disk" in places:
        median = {key: statistics.median(values) for key, values in found.items()}
        syncs = f"syncs for {TOGETHER} kills that come together"
        if shutil.which("strace"):
            report.promise(syncs, syncs_for(places["disk"], TOGETHER) / TOGETHER, 0.25, " a kill")
        else:
            report.leave_out(syncs, "strace is not installed")
        report.promise("kills one by one, of kills together, on a disk", median["disk", "one by one"] / median["disk", "together"], round(1 / TOGETHER_FACTOR, 2), " x", False)  # fmt: skip
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
