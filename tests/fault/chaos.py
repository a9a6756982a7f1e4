#!/usr/bin/python3
"""Runs to which everything happens, and what the record says of them afterwards.

    tests/fault/chaos.py [--runs N] [--seed S] [--jobs N]     worlds of 25 runs until there are N (500)
    tests/fault/chaos.py --seed S --world N                   that one again
    tests/fault/chaos.py --planted                            each planted bug must be found

Called by tests/fault/run, with a build of -Dstatic_launcher=false -Dplanted_bugs=true. A world is a process of its own
(chaosworld.py) with its own supervisor, tree and record; what happens in it is drawn from the seed and its number
(schedule.py) and judged by model.py. Prints the faults by kind, and each finding with the command that repeats it; the
last line counts. A world that gives a finding leaves a file in build-fault/chaos-logs.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
sys.dont_write_bytecode = True
os.environ.setdefault("SCIDEX_BUILD", str(HERE.parents[1] / "build-fault"))

import chaosworld  # noqa: E402
import schedule  # noqa: E402
from scidextest import BUILD, become_subreaper  # noqa: E402

LOGS = os.path.join(BUILD, "chaos-logs")
WORLD_SECONDS = 400  # only guards against a hang of ours
# As supervise/planted.h numbers them; with the flavour of the worlds that come first, so that it does not take long, and the
# checks that such a bug fails: another's finding is not its own.
PLANTED = (
    ("no marker before the kill", "kills", {"verdict", "events"}),
    ("a new deadline at adoption", "kills", {"deadline"}),
    ("leftovers are not killed", "stops", {"kill", "survivor", "group"}),
    ("rows are not sent again", "records", {"lost", "group", "events", "postgres"}),
    ("a lost launcher is not noticed", "kills", {"group", "verdict"}),
)
ENOUGH = 500  # runs, in which each fault has hit something


class Ended(Exception):
    """SIGTERM: what was begun is cleared away first."""


def on_term(signum, frame):
    raise Ended


def one_world(arguments):
    """In this process; its result as one line of JSON."""
    signal.signal(signal.SIGTERM, on_term)
    become_subreaper()
    result = chaosworld.run_world(schedule.make(arguments.seed, arguments.world), arguments.bug, os.path.join(LOGS, f"bug-{arguments.bug}") if arguments.bug else LOGS)
    if arguments.json:
        print(json.dumps(result), flush=True)
    else:
        print(json.dumps(result, indent=2))
    return 1 if result["findings"] else 0


class Pool:
    """Worlds, some at a time. The first finding ends them where STOPS."""

    def __init__(self, seed, jobs, bug=0):
        self.seed, self.jobs, self.bug = seed, jobs, bug
        self.processes = set()
        self.ended = False

    def command(self, number):
        return [sys.executable, os.path.abspath(__file__), "--seed", str(self.seed), "--world", str(number)]

    def run_one(self, number):
        if self.ended:
            return None
        command = [*self.command(number), "--json", "--bug", str(self.bug)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.add(process)
        try:
            output, errors = process.communicate(timeout=WORLD_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
            output, errors = process.communicate()
        self.processes.discard(process)
        for line in output.splitlines():
            if line.startswith("{"):
                return json.loads(line)
        if self.ended:
            return None
        what = f"the world gave no result, status {process.returncode}: {errors[-1500:]}"
        return {"world": number, "runs": 0, "refused": 0, "backstops": 0, "faults": {}, "verdicts": {}, "events": 0, "seconds": 0, "findings": [{"check": "world", "run": None, "kind": None, "what": what}]}

    def results(self, numbers):
        """As they come; after end() those that were not yet begun are left out."""
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as executor:
            for future in concurrent.futures.as_completed([executor.submit(self.run_one, number) for number in numbers]):
                if future.result() is not None:
                    yield future.result()

    def end(self):
        self.ended = True
        for process in list(self.processes):
            process.terminate()


class Sum:
    def __init__(self):
        self.runs = self.events = self.worlds = self.bad_worlds = 0
        self.refused = self.backstops = 0
        self.faults, self.verdicts = {}, {}
        self.begun = time.monotonic()

    def add(self, result):
        self.worlds += 1
        self.runs += result["runs"]
        self.events += result["events"]
        self.refused += result["refused"]
        self.backstops += result["backstops"]
        self.bad_worlds += bool(result["findings"])
        for total, part in ((self.faults, result["faults"]), (self.verdicts, result["verdicts"])):
            for name, count in part.items():
                total[name] = total.get(name, 0) + count

    def tell(self):
        for name, count in sorted(self.faults.items()):
            print(f"  {count:6}  {name}")
        print("  verdicts: " + ", ".join(f"{count} {name}" for name, count in sorted(self.verdicts.items(), key=str)))
        print(f"  {self.runs - self.refused} runs in {self.worlds} worlds, {sum(self.faults.values())} faults, {self.events} events, {time.monotonic() - self.begun:.0f} s")
        print(f"  {self.refused} launches refused, {self.backstops} limits left to a launcher")

    def shortcomings(self):
        """What no world can tell of itself."""
        if self.refused * 4 > self.runs:
            yield "more than a quarter of the launches were refused: too little was tested"
        if self.runs < ENOUGH:
            return
        hit = {name.split(":")[0] for name, count in self.faults.items() if count}
        missing = {name for faults in schedule.FLAVOURS.values() for name in faults} - hit
        if missing:
            yield f"never hit anything: {', '.join(sorted(missing))}"
        if self.backstops * 50 > self.verdicts.get("timeout", 0):
            yield f"{self.backstops} of {self.verdicts.get('timeout', 0)} runs over their time limit were left to their launcher"


CHECKS = {"wrong verdicts": ("verdict", "status", "report", "deadline", "begun", "hang", "crash"), "lost or doubled events": ("events", "lost", "kill", "postgres"),
          "survivors": ("survivor", "left", "group", "daemon", "processes", "foreign"), "others": ("descriptors", "last", "log", "refused", "world")}  # fmt: skip


def tell_findings(pool, result):
    for finding in result["findings"]:
        print(f"FAIL chaos: world {result['world']}, {finding['check']}: {finding['run'] or ''} {finding['kind'] or ''}: {finding['what']}")
    if result["findings"]:
        print("     again: " + " ".join(pool.command(result["world"])[1:]), flush=True)


def chaos(arguments):
    numbers = range(-(-arguments.runs // schedule.RUNS))
    print(f"chaos: seed {arguments.seed}, {len(numbers)} worlds of {schedule.RUNS} runs", flush=True)
    pool, total, found = Pool(arguments.seed, arguments.jobs), Sum(), []
    for result in pool.results(numbers):
        total.add(result)
        tell_findings(pool, result)
        found += [finding["check"] for finding in result["findings"]]
    total.tell()
    words = [f"{sum(check in checks for check in found)} {name}" for name, checks in CHECKS.items()]
    print("  " + ", ".join(words))
    shortcomings = list(total.shortcomings())
    for what in shortcomings:
        print(f"FAIL chaos: {what}")
    print(f"{total.worlds - total.bad_worlds} passed, {total.bad_worlds + len(shortcomings)} failed, 0 skipped", flush=True)
    return 1 if found or shortcomings else 0


def find_planted(arguments, bug):
    """Whether the short run finds that bug; its worlds end with the first finding, and the same world without the bug has none."""
    what, flavour, checks = PLANTED[bug - 1]
    pool, begun, runs = Pool(arguments.seed, 2, bug), time.monotonic(), 0
    world = finding = None
    numbers = sorted(range(-(-arguments.runs // schedule.RUNS)), key=lambda number: schedule.flavour_of(number) != flavour)
    for result in pool.results(numbers):
        runs += result["runs"]
        found = [finding for finding in result["findings"] if finding["check"] in checks]
        if world is None and found:
            world, finding = result["world"], found[0]
            pool.end()
    name = f"planted bug {bug} ({what})"
    if world is None:
        print(f"FAIL chaos: {name} was not found in {runs} runs", flush=True)
        return False
    for other in Pool(arguments.seed, 1).run_one(world)["findings"]:
        if other["check"] in checks | {"world"}:
            print(f"FAIL chaos: {name}: world {world} has findings without it: {other['check']}: {other['kind'] or ''} {other['what']}", flush=True)
            return False
    print(f"ok   {time.monotonic() - begun:7.1f} s  {name}: world {world}, after {runs} runs, {finding['check']}: {finding['kind'] or ''} {finding['what'][:160]}", flush=True)
    return True


def planted(arguments):
    bugs = [arguments.bug] if arguments.bug else range(1, len(PLANTED) + 1)
    print(f"planted: seed {arguments.seed}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(len(PLANTED)) as executor:
        found = list(executor.map(lambda bug: find_planted(arguments, bug), bugs))
    print(f"{sum(found)} passed, {len(found) - sum(found)} failed, 0 skipped", flush=True)
    return 0 if all(found) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs = 10_000 if os.environ.get("SCIDEX_TEST_LONG") == "1" else ENOUGH
    seed = int(os.environ.get("SCIDEX_TEST_SEED") or random.randrange(1 << 31))
    parser.add_argument("--runs", type=int, default=runs, help="how many, in worlds of 25 (%(default)s)")
    parser.add_argument("--seed", type=int, default=seed, help="what all is drawn from (SCIDEX_TEST_SEED, or any)")
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1), help="worlds at a time (%(default)s)")
    parser.add_argument("--world", type=int, help="only this one")
    parser.add_argument("--planted", action="store_true", help="with each bug of supervise/planted.h, or that of --bug")
    parser.add_argument("--bug", type=int, default=0, help="its number there: of the world, or of --planted")
    parser.add_argument("--json", action="store_true", help="the world's result in one line")
    arguments = parser.parse_args()
    if arguments.world is not None:
        return one_world(arguments)
    return planted(arguments) if arguments.planted else chaos(arguments)


if __name__ == "__main__":
    sys.exit(main())
