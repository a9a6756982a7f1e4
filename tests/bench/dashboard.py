#!/usr/bin/python3
"""What those who look cost: kills and processor time with 1,000 runs, without anybody and with 200 dashboards and a scraper.

    tests/bench/dashboard.py [--runs N] [--clients N] [--rounds N] [--json FILE] [--check]

One supervisor with N runs that sleep. In turns, several times over: nobody looks; 200 clients of the stream and a scraper
that asks for /metrics and the status each second; the same, but the clients never read what they are sent (as a laptop
that was closed); the same, but they read a byte now and then. In each turn runs with a short time limit are launched one
by one, and their kills are taken from the record: from the deadline until the group was empty. Beside it the processor
time that supervisor and recorder took, as share of one processor.

--check fails where kills are slower with somebody who looks, or the supervisor busier, by more than a generous factor:
turns of the same kind differ by half of that on a machine with other work.
"""

import http.client
import statistics
import subprocess
import sys
import threading
import time

from figures import Report, parser, processor_sec, scidextest
from scidextest import parse_time
from statustest import Crowd, StatusWorld

KILLED = ("--timeout", "50ms", "--grace", "5s", "--", "sleep", "1000")
KINDS = {"nobody": None, "dashboards": "read", "dead dashboards": "never", "slow dashboards": "slow"}
TURN_SEC = 8  # at least: several updates of the stream, several scrapes
LATENCY_FACTOR, LATENCY_SLACK = 3, 0.005  # of the median, and seconds besides
SUPERVISOR_FACTOR, SUPERVISOR_SLACK = 1.5, 0.02  # of its share of a processor, and that much besides
RECORDER_SHARE = 0.35  # of a processor: 25 % without a quota, and what rows of kills cost

# The clients are a process of their own, so that reading costs the measuring one nothing.
CLIENTS = r"""
import select, socket, sys
port, number, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
poll, clients, received = select.poll(), {}, 0
for _ in range(number):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    client.setblocking(False)
    clients[client.fileno()] = client
    if how == "read":
        poll.register(client, select.POLLIN)
poll.register(sys.stdin, select.POLLIN)
print("connected", flush=True)
while True:
    for fd, _ in poll.poll(100 if how == "slow" else None):
        if fd == sys.stdin.fileno():
            print(received, flush=True)
            sys.exit()
        data = clients[fd].recv(1 << 20)
        received += len(data)
        if not data:
            poll.unregister(fd)
    if how == "slow":
        for client in clients.values():
            try:
                received += len(client.recv(1))
            except BlockingIOError:
                pass
"""


class Clients:
    def __init__(self, port, number, how):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENTS, str(port), str(number), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline().strip() != "connected":
            raise SystemExit("the clients could not connect")

    def end(self):
        """Bytes that they have read."""
        out, _ = self.process.communicate("\n")
        return int(out or 0)


class Scraper:
    """/metrics and the status once a second; how long each took."""

    def __init__(self, web):
        self.web, self.seconds, self.failed, self.over = web, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.over.wait(1):
            for path in ("/metrics", "/api/quests/status"):
                begin = time.monotonic()
                try:
                    good = self.web.ask(path).status == 200
                except (OSError, http.client.HTTPException):
                    good = False
                self.seconds.append(time.monotonic() - begin)
                self.failed += not good

    def end(self):
        self.over.set()
        self.thread.join()
        return self.seconds, self.failed


def turn(world, kind, clients, kills):
    how = KINDS[kind]
    watchers = Clients(world.port, clients, how) if how else None
    scraper = Scraper(world.web) if how else None
    pids = world.supervisor_pid(), world.recorder_pid()
    before, begin = [processor_sec(pid) for pid in pids], time.monotonic()
    killed = [world.run(*KILLED).run["run_id"] for _ in range(kills)]
    time.sleep(max(0, begin + TURN_SEC - time.monotonic()))
    after, seconds = [processor_sec(pid) for pid in pids], time.monotonic() - begin
    scrapes, failed = scraper.end() if scraper else ([], 0)
    received = watchers.end() if watchers else 0
    late = []
    for run_id in killed:
        (event,) = world.events(run=run_id)
        late.append(parse_time(event["empty_at"]) - parse_time(event["deadline_at"]))
    shares = [(b - a) / seconds for a, b in zip(before, after)]
    return {"late": late, "supervisor": shares[0], "recorder": shares[1], "scrapes": scrapes, "failed": failed, "received": received}


def summary(turns):
    """Seconds, shares of one processor, bytes."""
    late = sorted(value for one in turns for value in one["late"])
    scrapes = sorted(value for one in turns for value in one["scrapes"])
    return {
        "kills": len(late),
        "late": statistics.median(late),
        "late_90": late[int(len(late) * 0.9)],
        "late_most": late[-1],
        "supervisor": statistics.median(one["supervisor"] for one in turns),
        "recorder": statistics.median(one["recorder"] for one in turns),
        "scrape": statistics.median(scrapes) if scrapes else None,
        "scrape_most": scrapes[-1] if scrapes else None,
        "failed": sum(one["failed"] for one in turns),
        "received": sum(one["received"] for one in turns),
    }


def measure(options):
    """What each kind of turn came to, and what was left behind."""
    world = StatusWorld()
    turns = {kind: [] for kind in KINDS}
    try:
        world.start_daemon()
        with Crowd(world, options.runs):
            for _ in range(options.rounds):
                for kind in KINDS:
                    turns[kind].append(turn(world, kind, options.clients, options.kills))
    finally:
        left = world.finish()
    return {kind: summary(found) for kind, found in turns.items()}, left


def in_ms(seconds):
    return None if seconds is None else seconds * 1e3


def show(report, options, found):
    rows = [
        [kind, in_ms(one["late"]), in_ms(one["late_90"]), in_ms(one["late_most"]), one["supervisor"] * 100, one["recorder"] * 100,
         in_ms(one["scrape"]), in_ms(one["scrape_most"]), one["received"] / 1e6, one["kills"]]
        for kind, one in found.items()
    ]  # fmt: skip
    report.table(
        f"{options.runs} runs, {options.clients} clients: deadline to empty group, and shares of one processor",
        ["", "median ms", "p90", "max", "supervisor %", "recorder %", "scrape ms", "max", "read MB", "kills"], rows,
    )  # fmt: skip


def promise(report, found):
    quiet = found["nobody"]
    for kind, one in found.items():
        if one is not quiet:
            report.promise(f"{kind}: a kill takes", one["late"] * 1e3, in_ms(quiet["late"] * LATENCY_FACTOR + LATENCY_SLACK), " ms")
            most = quiet["supervisor"] * SUPERVISOR_FACTOR + SUPERVISOR_SLACK
            report.promise(f"{kind}: of a processor the supervisor takes", one["supervisor"] * 100, most * 100, " %")
            report.promise(f"{kind}: scrapes that were not answered", one["failed"], 0)
        report.promise(f"{kind}: of a processor the recorder takes", one["recorder"] * 100, RECORDER_SHARE * 100, " %")
    if found["dashboards"]["received"] == 0:
        report.problem("the dashboards were told nothing")


def main():
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=1000, help="that sleep while it is measured")
    options.add_argument("--clients", type=int, default=200, help="of the stream")
    options.add_argument("--rounds", type=int, default=3, help="of each kind of turn")
    options.add_argument("--kills", type=int, default=15, help="in each turn")
    options = options.parse_args()
    scidextest.become_subreaper()
    report = Report("dashboard")
    report.say_if_no_memory("the runs' limit of memory is sampled, which is most of what the supervisor does")
    found, left = measure(options)
    show(report, options, found)
    promise(report, found)
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
