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

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scidextest  # noqa: E402
from scidextest import parse_time, read_text  # noqa: E402
from statustest import Crowd, StatusWorld  # noqa: E402

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


def processor_sec(pid):
    """Of a process, to the nanosecond (schedstat), where the kernel has it."""
    return int(read_text(f"/proc/{pid}/schedstat").split()[0]) / 1e9


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
    late = sorted(value for one in turns for value in one["late"])
    scrapes = sorted(value for one in turns for value in one["scrapes"])
    return {
        "kills": len(late),
        "latency_median_sec": round(statistics.median(late), 6),
        "latency_p90_sec": round(late[int(len(late) * 0.9)], 6),
        "latency_max_sec": round(late[-1], 6),
        "supervisor_cpu": round(statistics.median(one["supervisor"] for one in turns), 4),
        "recorder_cpu": round(statistics.median(one["recorder"] for one in turns), 4),
        "scrape_median_sec": round(statistics.median(scrapes), 6) if scrapes else None,
        "scrape_max_sec": round(scrapes[-1], 6) if scrapes else None,
        "scrapes_failed": sum(one["failed"] for one in turns),
        "received_bytes": sum(one["received"] for one in turns),
    }


def problems(figures):
    """What --check does not let pass."""
    quiet, found = figures["nobody"], []
    for kind, one in figures.items():
        if one["latency_median_sec"] > quiet["latency_median_sec"] * LATENCY_FACTOR + LATENCY_SLACK:
            found.append(f"{kind}: kills take {one['latency_median_sec'] * 1e3:.1f} ms, without {quiet['latency_median_sec'] * 1e3:.1f} ms")
        if one["supervisor_cpu"] > quiet["supervisor_cpu"] * SUPERVISOR_FACTOR + SUPERVISOR_SLACK:
            found.append(f"{kind}: the supervisor takes {one['supervisor_cpu']:.1%} of a processor, without {quiet['supervisor_cpu']:.1%}")
        if one["scrapes_failed"] > 0:
            found.append(f"{kind}: {one['scrapes_failed']} scrapes were not answered")
        if one["recorder_cpu"] > RECORDER_SHARE:
            found.append(f"{kind}: the recorder takes {one['recorder_cpu']:.0%} of a processor")
    if figures["dashboards"]["received_bytes"] == 0:
        found.append("the dashboards were told nothing")
    return found


def measure(arguments):
    scidextest.become_subreaper()
    world = StatusWorld()
    turns = {kind: [] for kind in KINDS}
    try:
        world.start_daemon()
        with Crowd(world, arguments.runs):
            for _ in range(arguments.rounds):
                for kind in KINDS:
                    turns[kind].append(turn(world, kind, arguments.clients, arguments.kills))
    finally:
        left = world.finish()
    if left:
        raise SystemExit("left behind: " + "; ".join(left))
    return {kind: summary(found) for kind, found in turns.items()}


def show(arguments, figures):
    print(f"{arguments.runs} runs, {arguments.clients} clients, {os.cpu_count()} processors; deadline to empty group, share of one processor")
    print(f"{'':16} {'median':>9} {'p90':>9} {'max':>9} {'supervisor':>11} {'recorder':>9} {'scrape':>9} {'read':>10}")
    for kind, one in figures.items():
        scrape = f"{one['scrape_median_sec'] * 1e3:.1f} ms" if one["scrape_median_sec"] is not None else "-"
        print(
            f"{kind:16} {one['latency_median_sec'] * 1e3:6.2f} ms {one['latency_p90_sec'] * 1e3:6.2f} ms {one['latency_max_sec'] * 1e3:6.2f} ms"
            f" {one['supervisor_cpu']:10.2%} {one['recorder_cpu']:9.2%} {scrape:>9} {one['received_bytes'] / 1e6:7.1f} MB"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="of each kind of turn")
    parser.add_argument("--kills", type=int, default=15, help="in each turn")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--check", action="store_true", help="fail where those who look cost too much")
    arguments = parser.parse_args()
    figures = measure(arguments)
    show(arguments, figures)
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "emulated": scidextest.IN_VM}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"schema": 1, "machine": machine, "runs": arguments.runs, "clients": arguments.clients, "turns": figures}, file, indent=2)
            file.write("\n")
    found = problems(figures)
    print("\n".join(found) if found else "ok: kills and supervisor as without")
    return 1 if arguments.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
