"""One world of the chaos run: its runs are started, its faults fall, it is closed, and what is left is handed to the model.

Called by chaos.py, in a process of its own (what loses its parent becomes ours). One loop over a heap of what is due
and the pidfds of the launchers. The hard thing is the end: after the last fault everything that failed works again, and
from then on each run must come to its end by itself, within PATIENCE; then a supervisor without faults adopts whatever
was left, and only after that the record is judged.
"""

import contextlib
import heapq
import itertools
import json
import os
import random
import resource
import select
import subprocess
import threading
import time

import model
from closing import Closing
from harm import AGAIN, Harm
from postgresserver import CutProxy, Server
from postgrestest import PostgresWorld, migrate
from scidextest import BUILD, OTHERS, Client, ProtocolError, ScidexTest, World, helper, process_comm, process_state, read_text
from schedule import SECONDS
from window import Window

LIBRARY = os.path.join(BUILD, "tests", "fault", "failing.so")
PATIENCE = 75  # from the last fault to the last launcher's end; one alone waits for 20 s and its grace, twice


class Started:
    """A run that was asked for, and what has hit it."""

    def __init__(self, chaos, run):
        self.chaos, self.run, self.kind, self.name = chaos, run, run.kind, run.name
        self.mark = os.path.join(chaos.world.directory, f"mark-{run.number}")
        self.hits = set()
        self.launch = self.process = self.status = self.report = None
        self.stderr = ""
        self.begun = time.monotonic()
        self.ended = None
        self.answered = self.accepted = False
        self.unanswered = False  # whether it was registered, or not, nobody has told

    def note(self, what):
        self.hits.add(what)

    def started_as(self, suffix=""):
        """[(pid, run id)] of each time that its command began; with ".inner" that of the run which it launches."""
        return [line.split() for line in read_text(self.mark + suffix, "").splitlines()]

    def inner_report(self):
        """What the launcher of that one was told; None: it was not, or it was killed over it."""
        with contextlib.suppress(ValueError):
            return json.loads(read_text(self.mark + ".inner.json", ""))
        return None

    def main_pid(self):
        rows = self.started_as()
        return int(rows[0][0]) if rows else None

    def group(self):
        """Its group's directory, while it is there; of a run that has begun."""
        rows = self.started_as()
        if not rows or len(rows[0]) < 2:
            return None
        path = os.path.join(self.chaos.world.tree, f"{self.name}-{rows[0][1][-8:]}")
        return path if os.path.isdir(path) else None

    def may_lose_launcher(self):
        return self.launch and self.ended is None and self.kind.natural is None and not self.hits and self.main_pid() is not None

    def is_over(self):
        return self.ended is not None


class ChaosWorld(Closing):
    def __init__(self, schedule, planted=0):
        self.schedule, self.planted = schedule, planted
        self.started, self.foreign, self.findings, self.threads = [], [], [], []
        self.counts, self.happened = {}, set()
        self.refused = self.backstops = 0  # what came of faults: counted by the model
        self.lock = threading.Lock()
        self.heap, self.order = [], itertools.count()
        self.server = self.proxy = None
        self.world = self.make_world()
        self.window = Window(os.path.join(self.world.directory, "window"))
        self.harm = Harm(self)
        self.extra = self.window.environment(LIBRARY, self.world.tree)
        if planted:
            self.extra["SCIDEX_PLANTED_BUG"] = str(planted)

    def make_world(self):
        if self.schedule.postgres:
            self.server = Server()
            self.server.start()
            self.server.create_database()
            migrate(self.server.conninfo())
            self.proxy = CutProxy(self.server, seed=self.schedule.seed)
            world = PostgresWorld(self.server.conninfo(directory=self.proxy.directory))
        else:
            world = World()
        ScidexTest.worlds.append(world)
        world.may_leave_zombies = True
        if self.schedule.disk:
            world.mount_tmpfs(world.state, "4m")
        return world

    # What is due

    def later(self, seconds, action):
        with self.lock:
            heapq.heappush(self.heap, (time.monotonic() + seconds, next(self.order), action))

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def act_on_world(self, what, parameters):
        hit = getattr(self.harm, what.replace("-", "_"))(**parameters)
        if hit:
            self.count(what)
            self.happened.add(what)
        elif hit is None and time.monotonic() < self.begun + SECONDS:
            self.later(AGAIN, lambda: self.act_on_world(what, parameters))

    def act_on_run(self, one, what, seconds):
        """Again and again until it has hit, or there is nothing to hit any more (None: not yet)."""
        if one.is_over():
            return
        if what == "cancel":
            self.in_thread(self.ask_cancel, one)
            return
        hit = getattr(self.harm, what.replace("-", "_"))(one, seconds=seconds) if seconds else getattr(self.harm, what.replace("-", "_"))(one)
        if hit is None:
            self.later(AGAIN, lambda: self.act_on_run(one, what, seconds))
        elif hit:
            one.note(what)
            self.count(what)

    def in_thread(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def ask_cancel(self, one):
        """As `scidexctl kill`: until somebody has answered that it is begun."""
        while not one.is_over() and not self.is_past:
            with contextlib.suppress(OSError, ProtocolError), Client(self.world.socket, timeout=5) as client:
                client.call("kill", run=one.name)
                one.answered = True
                one.note("cancel")
                self.count("cancel")
                if one.run.killed_in_grace and self.harm.supervisor_kill():
                    self.count("supervisor-kill")
                    self.happened.add("supervisor-kill")
                return
            time.sleep(AGAIN)

    is_past = False

    # Runs

    def start(self, run):
        one = Started(self, run)
        self.started.append(one)
        if run.kind_name == "registered":
            one.process = subprocess.Popen(["sleep", "1000"], env=self.world.environment(), stdin=subprocess.DEVNULL)
            OTHERS.add(one.process.pid)
            self.in_thread(self.register, one)
        else:
            extra = {**self.extra, "MARK": one.mark, "DELAY": f"{run.delay:.2f}", "NAME": run.name, "LEAKER": helper("leaker"),
                     "RUNNER": self.world.program("scidex-run")}  # fmt: skip
            one.launch = self.world.start(*run.kind.options, "--analysis-id", run.name, "--", "sh", "-c", run.kind.script,
                                          env=extra, stdout=subprocess.DEVNULL)  # fmt: skip
        for after, what, seconds in run.faults:
            self.later(after, lambda what=what, seconds=seconds: self.act_on_run(one, what, seconds))

    def register(self, one):
        """Where an answer was lost, what refuses the next question may be the run that the first has made."""
        request = {"analysis_id": one.name, "timeout_usec": 500_000, "grace_usec": 200_000}
        asked_before = False
        while not self.is_past:
            try:
                with Client(self.world.socket, timeout=5) as client:
                    one.unanswered = True
                    client.call("register", pid=one.process.pid, request=request)
                    one.accepted, one.unanswered = True, False
                    return
            except ProtocolError as error:
                one.stderr = str(error)
                one.accepted = asked_before and error.code in ("denied", "gone")
                one.unanswered = False
                return
            except OSError:
                asked_before = one.unanswered
                time.sleep(AGAIN)

    def known_pids(self):
        return {one.launch.pid for one in self.started if one.launch} | OTHERS

    def collect(self, one):
        if one.is_over() or not one.launch or one.launch.process.poll() is None:
            return
        one.status = one.launch.process.returncode
        one.stderr = one.launch.stderr()
        with contextlib.suppress(ValueError):
            one.report = one.launch.report()
        one.ended = time.monotonic()
        one.launch.result = True
        one.launch.close()

    # The loop

    def run(self):
        self.begun = time.monotonic()
        for run in self.schedule.runs:
            self.later(run.at, lambda run=run: self.start(run))
        for at, what, parameters in self.schedule.faults:
            self.later(at, lambda what=what, parameters=parameters: self.act_on_world(what, parameters))
        end = self.begun + SECONDS + PATIENCE
        while self.heap or any(one.launch and not one.is_over() for one in self.started):
            if time.monotonic() > end:
                break
            self.step()
        self.is_past = True
        self.harm.end_all()
        for one in self.started:
            if one.launch and not one.is_over():
                self.find("hang", one, f"scidex-run {one.launch.pid} has not ended: {one.launch.stderr()[-300:]}")
        self.seconds = time.monotonic() - self.begun

    def step(self):
        poll = select.poll()
        for one in self.started:
            if one.launch and not one.is_over():
                poll.register(one.launch.pidfd, select.POLLIN)
        due = self.heap[0][0] if self.heap else time.monotonic() + 0.1
        poll.poll(max(0.0, min(due - time.monotonic(), 0.1)) * 1000)
        for one in self.started:
            self.collect(one)
        self.harm.reap()
        while self.heap and self.heap[0][0] <= time.monotonic():
            with self.lock:
                _, _, action = heapq.heappop(self.heap)
            action()

    def find(self, check, one, what):
        self.findings.append({"check": check, "run": one.name if one else None, "kind": one.run.kind_name if one else None, "what": what})

    # The end: see Closing

    def judge(self):
        for pid in self.world.ours():
            self.find("survivor", None, f"{pid} ({process_comm(pid)}, {process_state(pid)}) lives: {read_text(f'/proc/{pid}/cmdline', '')[:80]!r}")
        for path in self.foreign:
            if not os.path.isdir(path):
                self.find("foreign", None, f"a directory that is not scidex's was removed: {path}")
            with contextlib.suppress(OSError):
                os.rmdir(path)
        model.judge(self)
        for what in set(line for line in self.world.logs().splitlines() if "Sanitizer" in line or "Assertion" in line):
            self.find("log", None, what)

    def free(self):
        self.window.free()
        problems = self.world.finish()
        ScidexTest.worlds.remove(self.world)
        if self.proxy:
            self.proxy.close()
        if self.server:
            self.server.remove()
        for problem in problems:
            self.find("left", None, problem)


def run_world(schedule, planted, logs):
    """Everything about one world: the result as a dictionary."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    random.seed(schedule.seed)
    chaos = ChaosWorld(schedule, planted)
    try:
        chaos.run()
        chaos.close()
        chaos.judge()
        if chaos.findings and logs:
            chaos_log(chaos, logs)
    finally:
        chaos.free()
    return {
        "world": schedule.number, "flavour": schedule.flavour, "runs": len(chaos.started), "seconds": chaos.seconds,
        "faults": chaos.counts, "findings": chaos.findings, "verdicts": chaos.verdicts, "events": chaos.n_events,
        "refused": chaos.refused, "backstops": chaos.backstops,
    }  # fmt: skip


def chaos_log(chaos, logs):
    """What a finding is looked into with."""
    os.makedirs(logs, exist_ok=True)
    with open(os.path.join(logs, f"world-{chaos.schedule.number}.txt"), "w", encoding="utf-8") as file:
        for finding in chaos.findings:
            file.write(json.dumps(finding) + "\n")
        for one in chaos.started:
            file.write(f"{one.name} {one.run.kind_name} {(one.ended or 0) - one.begun:.2f} s hits={sorted(one.hits)} status={one.status} marks={one.started_as()} {one.stderr.strip()!r}\n")
        file.write(json.dumps([(at, what, str(parameters)) for at, what, parameters in chaos.schedule.faults]) + "\n")
        for row in chaos.rows:
            file.write(f"run {row}\n")
        for row in chaos.event_rows:
            file.write(f"event {row}\n")
        file.write(f"state: {sorted(os.listdir(os.path.dirname(chaos.world.database)))}\n")
        file.write(chaos.world.logs())
