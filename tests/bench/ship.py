#!/usr/bin/python3
"""How fast the recorder ships to a local PostgreSQL server, beside COPY of the same rows into the same table.

    tests/bench/ship.py [--events N] [--samples N] [--json FILE] [--check]

The backlog is made in the spool itself: one event, as the recorder stored it, multiplied. Then the recorder is started
and timed from its first row in the table to an empty outbox. COPY (psql's, of a file, one transaction) is the floor:
what the server alone takes for these rows, their indexes and its log. Both servers are the same one, with a table that
was emptied in between. "of it the server" is the processor time of the session's backend.

--check fails if fewer than 20,000 events a second are shipped: if one takes more than 50 microseconds. Natively: under
emulation that means nothing.
"""

import os
import shutil
import sys
import tempfile
import time

from figures import Report, parser, scidextest, skips_end
from feeder import Feeder, multiply_event  # isort: skip (where it lies is known from figures on)
from postgresserver import Server, server_user
from postgrestest import migrate
from scidextest import read_text

EVENT_MOST = 50  # microseconds
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
    found = {
        "seconds": end - begin,
        "connect": ready - begin,
        "server": sum(processor_seconds(pid) for pid in backends),
        "recorder": processor_seconds(feeder.process.pid),
    }
    feeder.stop()
    stored = server.number("SELECT count(*) FROM watchdog_events")
    if stored != number:
        raise SystemExit(f"{stored} events are in the table, not {number}: {feeder.log()[-2000:]}")
    return found


def copy(server, number):
    """Seconds for the same rows from a file, and the bytes of one."""
    path = os.path.join(server.directory, "rows")
    server.psql(f"COPY (SELECT * FROM watchdog_events) TO '{path}'")
    size = os.path.getsize(path)
    server.psql("TRUNCATE watchdog_events; CHECKPOINT")
    begin = time.monotonic()
    server.psql(f"COPY watchdog_events FROM '{path}'")
    seconds = time.monotonic() - begin
    os.unlink(path)
    return seconds, size / number


def measure(options, server, feeder):
    server.start()
    server.create_database()
    done = migrate(server.conninfo())
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    feeder.start()
    feeder.event(timeline=timeline(options.samples))
    feeder.stop()
    multiply_event(os.path.join(feeder.directory, "spool", "spool.sqlite"), options.events)
    shipped = ship(server, feeder, options.events)
    return shipped, *copy(server, options.events), server.psql("SHOW server_version")


def show(report, number, shipped, copied, size):
    rows = [
        ["shipped by the recorder", number / shipped["seconds"], shipped["seconds"], shipped["connect"], shipped["server"], shipped["recorder"], shipped["seconds"] / copied],
        ["COPY, one transaction", number / copied, copied, None, None, None, 1.0],
    ]  # fmt: skip
    report.table(
        f"{number} events of {size:.0f} bytes, server as uid {server_user()[0]}",
        ["", "events/s", "seconds", "of it to connect", "CPU s of the server", "of the recorder", "x COPY"], rows,
    )  # fmt: skip


def main():
    options = parser(__doc__)
    options.add_argument("--events", type=int, default=100_000, help="in the backlog")
    options.add_argument("--samples", type=int, default=10, help="length of each event's timeline")
    options = options.parse_args()
    report = Report("ship")
    with skips_end():
        server = Server(shared_buffers="256MB", max_wal_size="4GB", checkpoint_timeout="30min")
    place = tempfile.mkdtemp(prefix="sx-b-", dir="/tmp")
    feeder = Feeder(place, "host=/nonexistent")
    try:
        shipped, copied, size, version = measure(options, server, feeder)
    finally:
        feeder.remove()
        server.remove()
        shutil.rmtree(place, ignore_errors=True)
    report.document["versions"]["postgres"] = version
    show(report, options.events, shipped, copied, size)
    report.promise("microseconds for an event", shipped["seconds"] / options.events * 1e6, EVENT_MOST, "", not scidextest.IN_VM)
    return report.end(options)


if __name__ == "__main__":
    sys.exit(main())
