#!/usr/bin/python3
"""The kind of watchdog that scidex replaces, made anew as small as it goes: what the benches hold scidex against.

    psutil_watchdog.py --registry FILE [--every SECONDS] [--wait SECONDS]

Every 30 s (--every) it looks at each registered process with psutil: wall clock, RSS, parent. Who is over a limit or has
lost its parent gets SIGTERM, 10 s (--wait) and SIGKILL, and a row in `kills`. The registry is a SQLite file with the table
`registered`, which open_registry() makes and register() fills.

As its model it goes by pids, knows only the one process, and stands still while it waits for one to end. Left out: the
row's way to PostgreSQL, which came after the kill.
"""

import argparse
import sqlite3
import time

import psutil

SCHEMA = """
CREATE TABLE IF NOT EXISTS registered (pid INTEGER PRIMARY KEY, parent INTEGER, deadline REAL, memory_bytes INTEGER);
CREATE TABLE IF NOT EXISTS kills (pid INTEGER, reason TEXT, rss_bytes INTEGER, term_at REAL, ended_at REAL);
"""


def open_registry(path):
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    connection.executescript(SCHEMA)
    return connection


def register(connection, pid, parent, deadline=None, memory_bytes=None):
    connection.execute("INSERT OR REPLACE INTO registered VALUES (?, ?, ?, ?)", (pid, parent, deadline, memory_bytes))


def reason_to_kill(process, parent, deadline, memory_bytes):
    if deadline is not None and time.time() > deadline:
        return "timeout"
    if memory_bytes is not None and process.memory_info().rss > memory_bytes:
        return "memory"
    if parent is not None and process.ppid() != parent:
        return "orphan"
    return None


def end(process, wait):
    process.terminate()
    try:
        process.wait(wait)
    except psutil.TimeoutExpired:
        process.kill()


def look(connection, pid, parent, deadline, memory_bytes, wait):
    try:
        process = psutil.Process(pid)
        reason = reason_to_kill(process, parent, deadline, memory_bytes)
        if reason is None:
            return
        rss, term_at = process.memory_info().rss, time.time()
        end(process, wait)
        connection.execute("INSERT INTO kills VALUES (?, ?, ?, ?, ?)", (pid, reason, rss, term_at, time.time()))
    except psutil.NoSuchProcess:
        pass
    connection.execute("DELETE FROM registered WHERE pid = ?", (pid,))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", required=True)
    parser.add_argument("--every", type=float, default=30)
    parser.add_argument("--wait", type=float, default=10)
    options = parser.parse_args()
    connection = open_registry(options.registry)
    while True:
        for row in connection.execute("SELECT * FROM registered").fetchall():
            look(connection, *row, options.wait)
        time.sleep(options.every)


if __name__ == "__main__":
    main()
