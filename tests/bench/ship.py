#!/usr/bin/python3
"""How fast the recorder ships to a local PostgreSQL server, beside COPY of the same rows into the same table.

    tests/bench/ship.py [--events N] [--samples N] [--json FILE] [--check]

The backlog is made in the spool itself: one event, as the recorder stored it, multiplied. Then the recorder is started
and timed from its first row in the table to an empty outbox. COPY (psql's, of a file, one transaction) is the floor:
what the server alone takes for these rows, their indexes and its log. Both servers are the same one, with a table that
was emptied in between. "of it the server" is the processor time of the session's backend.

--check fails if fewer than 20,000 events a second are shipped. Natively: under emulation that means nothing.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scidextest  # noqa: E402
from feeder import Feeder, multiply_event  # noqa: E402
from postgresserver import Server, server_user  # noqa: E402
from postgrestest import migrate  # noqa: E402
from scidextest import read_text  # noqa: E402

PROMISED = 20_000
TICK = os.sysconf("SC_CLK_TCK")
APPLICATION = "backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = 'scidex'"


def processor_seconds(pid):
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def timeline(samples):
    return {"interval_sec": 1, "t_sec": [float(i) for i in range(samples)], "memory_bytes": [1048576 * i for i in range(samples)], "cpu_sec": [0.9 * i for i in range(samples)]}  # fmt: skip


def ship(server, feeder, number):
    feeder.conninfo = server.conninfo()
    begin = time.monotonic()
    feeder.start()
    feeder.wait_state("ok")
    ready = time.monotonic()
    while feeder.postgres()["waiting"] > 0:
        time.sleep(0.1)  # it counts them for us, which costs it a little
    end = time.monotonic()
    backends = [int(row[0]) for row in server.rows(f"SELECT pid FROM pg_stat_activity WHERE {APPLICATION}")]
    figures = {
        "events_per_sec": round(number / (end - begin)),
        "seconds": round(end - begin, 3),
        "seconds_to_connect": round(ready - begin, 3),
        "server_cpu_sec": round(sum(processor_seconds(pid) for pid in backends), 3),
        "recorder_cpu_sec": round(processor_seconds(feeder.process.pid), 3),
    }
    feeder.stop()
    stored = server.number("SELECT count(*) FROM watchdog_events")
    if stored != number:
        raise SystemExit(f"{stored} events are in the table, not {number}: {feeder.log()[-2000:]}")
    return figures


def copy(server, number):
    """The same rows from a file. In the recorder's batches too: what of the difference the transactions are."""
    path = os.path.join(server.directory, "rows")
    server.psql(f"COPY (SELECT * FROM watchdog_events) TO '{path}'")
    size = os.path.getsize(path)
    server.psql("TRUNCATE watchdog_events; CHECKPOINT")
    begin = time.monotonic()
    server.psql(f"COPY watchdog_events FROM '{path}'")
    seconds = time.monotonic() - begin
    os.unlink(path)
    return {"events_per_sec": round(number / seconds), "seconds": round(seconds, 3), "bytes_per_event": round(size / number)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=10, help="length of each event's timeline")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--check", action="store_true", help=f"fail below {PROMISED} events a second")
    arguments = parser.parse_args()
    place = tempfile.mkdtemp(prefix="sx-b-", dir="/tmp")
    server = Server(shared_buffers="256MB", max_wal_size="4GB", checkpoint_timeout="30min")
    feeder = Feeder(place, "host=/nonexistent")
    try:
        server.start()
        server.create_database()
        done = migrate(server.conninfo())
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        feeder.start()
        feeder.event(timeline=timeline(arguments.samples))
        feeder.stop()
        multiply_event(os.path.join(place, "spool", "spool.sqlite"), arguments.events)
        shipped = ship(server, feeder, arguments.events)
        copied = copy(server, arguments.events)
        version = server.psql("SHOW server_version")
    finally:
        feeder.remove()
        server.remove()
        shutil.rmtree(place, ignore_errors=True)
    show(arguments, shipped, copied)
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "emulated": scidextest.IN_VM, "postgres": version}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"schema": 1, "machine": machine, "events": arguments.events, "ship": shipped, "copy": copied}, file, indent=2)
            file.write("\n")
    return 1 if arguments.check and shipped["events_per_sec"] < PROMISED else 0


def show(arguments, shipped, copied):
    share = shipped["server_cpu_sec"] / shipped["seconds"]
    print(f"{arguments.events} events of {copied['bytes_per_event']} bytes, {os.cpu_count()} processors, server as uid {server_user()[0]}")
    print(f"shipped: {shipped['events_per_sec']:8} events/s  {shipped['seconds']:.2f} s, of it {shipped['seconds_to_connect']:.2f} s to connect")
    print(f"         processor: server {shipped['server_cpu_sec']:.2f} s ({share:.0%} of the time), recorder {shipped['recorder_cpu_sec']:.2f} s")
    print(f"COPY:    {copied['events_per_sec']:8} events/s  {copied['seconds']:.2f} s: shipping takes {shipped['seconds'] / copied['seconds']:.1f} x that")
    word = "ok" if shipped["events_per_sec"] >= PROMISED else "TOO SLOW"
    print(f"promised: {PROMISED} events/s: {word}")


if __name__ == "__main__":
    sys.exit(main())
