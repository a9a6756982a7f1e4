"""What happens to a year of rows: a recorder ships into them, the next month is made, the oldest goes.

Durable here (fsync on), unlike while they were generated. While the oldest month goes a recorder ships ten events a second
and somebody asks for the status ten times a second: how long the longest of both had to wait is what counts.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

from feeder import Feeder, multiply
from postgresserver import DATABASE, clean_environment, server_programs
from postgrestest import database_verb, migrate

EVERY = 0.1


@contextlib.contextmanager
def recorder(conninfo):
    place = tempfile.mkdtemp(prefix="sx-b-", dir="/tmp")
    feeder = Feeder(place, conninfo)
    try:
        yield feeder
    finally:
        feeder.remove()
        shutil.rmtree(place, ignore_errors=True)


def ship(server, database, number):
    """Rows a second of a backlog: NUMBER events, as many runs."""
    timeline = {"interval_sec": 1, "t_sec": [float(i) for i in range(10)], "memory_bytes": [1048576 * i for i in range(10)]}
    with recorder("host=/nonexistent") as feeder:
        feeder.start()
        feeder.event(timeline=timeline)
        feeder.ended()
        feeder.stop()
        for kind in ("event", "run"):
            multiply(os.path.join(feeder.directory, "spool", "spool.sqlite"), kind, number)
        feeder.conninfo = server.conninfo(database)
        feeder.start()
        feeder.wait_state("ok")
        begin = time.monotonic()
        feeder.wait_shipped(600)
        return 2 * number / (time.monotonic() - begin)


def ship_in_turns(server, number, turns=3):
    """Rows a second into tables that are empty, and into these: medians."""
    rates = {"empty": [], DATABASE: []}
    for _ in range(turns):
        server.create_database("empty")
        done = migrate(server.conninfo("empty"))
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        for database, found in rates.items():
            found.append(ship(server, database, number))
        server.drop_database("empty")
    return [sorted(found)[turns // 2] for found in rates.values()]


def next_partition(server):
    """Milliseconds for the month after those that are there."""
    return server.json(
        "SELECT 1000 * extract(epoch FROM clock_timestamp() - begun) AS ms, name FROM"
        " (SELECT clock_timestamp() AS begun, scidex_make_partition(date_trunc('month', now()) + interval '3 months') AS name OFFSET 0) m"
    )[0]["ms"]


class Session:
    """A psql that stays connected."""

    def __init__(self, server):
        self.process = subprocess.Popen(
            [os.path.join(server_programs(), "psql"), "-X", "-q", "-A", "-t", "-w", server.conninfo()],
            env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def seconds(self, statement):
        begin = time.monotonic()
        self.process.stdin.write(f"{statement};\n\\echo done\n")
        while self.process.stdout.readline() != "done\n":
            pass
        return time.monotonic() - begin

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Watch:
    """Ships and asks for the status, until it is left. longest: of each, in seconds."""

    def __init__(self, server):
        self.server, self.over = server, threading.Event()
        self.longest = {"status": 0.0, "shipping": 0.0}
        self.threads = [threading.Thread(target=one) for one in (self.ask, self.ship)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def ask(self):
        session = Session(self.server)
        session.seconds("SELECT count(*) FROM watchdog_status")
        while not self.over.wait(EVERY):
            self.longest["status"] = max(self.longest["status"], session.seconds("SELECT count(*) FROM watchdog_status"))
        session.close()

    def ship(self):
        with recorder(self.server.conninfo()) as feeder:
            feeder.start()
            feeder.wait_shipped()
            empty = time.monotonic()
            while not self.over.wait(EVERY) or feeder.postgres().get("waiting"):
                self.longest["shipping"] = max(self.longest["shipping"], time.monotonic() - empty)
                if not feeder.postgres().get("waiting"):
                    empty = time.monotonic()
                if not self.over.is_set():
                    feeder.event()


def retain(server, days):
    """`scidexctl db retain`, watched: what it deleted, its seconds, those of who waited longest."""
    with Watch(server) as watch:
        time.sleep(2)  # so that there is something to see
        begin = time.monotonic()
        done = database_verb(server.conninfo(), "retain", f"{days}d", "--json", timeout=3600)
        seconds = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    answer = json.loads(done.stdout)
    return {"months": answer["partitions"], "runs": answer["runs"], "seconds": seconds, **watch.longest}


def vacuum(server, table="watchdog_runs"):
    """Seconds, as an administrator does it; autovacuum takes longer, because it pauses."""
    begin = time.monotonic()
    server.psql(f"VACUUM {table}")
    return time.monotonic() - begin
