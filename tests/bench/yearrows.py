"""Rows of a year, as recorders send them: what database.py asks and ships into.

Launch n of all (0, 1, 2, ...) ends n / PER_DAY days after the begin. By hashes of n: its host, which of 50,000 analyses,
how long it ran, how it ended; one in 20 was killed and has an event. A row has the columns that a real one has: a run
has no timeline, an event has one.

From now backwards, as what is asked lies at the end: the last month first, then what comes before it. So that the
indexes of watchdog_runs are none that were filled from the middle they are dropped meanwhile and made again, which
leaves them as full as rows in order do. The partitions of the events are each filled once, in order.
"""

import concurrent.futures
import time

PIECE = 50_000
ANALYSES = 50_000
KILLED = "(hashint8(n) & 1048575) % 20 = 0"

# OFFSET 0 has each of these reckoned once, and not wherever it is named.
LAUNCHES = """
SET synchronous_commit = off;
CREATE TEMPORARY VIEW launches AS
SELECT *, 'SDA-' || (hashint8(n + 1) & 2147483647) % {analyses} AS ref,
    'node-' || to_char((hashint8(n + 2) & 1048575) % {hosts}, 'FM9900') AS host, {killed} AS killed,
    (ARRAY['memory', 'memory', 'memory', 'memory', 'memory', 'memory', 'timeout', 'timeout', 'cancelled', 'orphaned'])[1 + (n / 7) % 10] AS reason,
    to_timestamp(ended) AS at, to_timestamp(ended - ran) AS begun, substr(hash, 1, 3) AS hash_3, substr(hash, 4, 15) AS hash_15,
    lpad(to_hex(((ended - ran) * 1000)::bigint), 12, '0') AS begun_hex, lpad(to_hex((ended * 1000)::bigint), 12, '0') AS at_hex
  FROM (SELECT n, md5(n::text) AS hash, (1 + (hashint8(n + 3) & 1048575) % 1800)::double precision AS ran, {begin} + n * double precision '{sec}' AS ended
          FROM generate_series({first}::bigint, {last}) n OFFSET 0) g OFFSET 0;
"""

RUNS = """
INSERT INTO watchdog_runs (run_id, analysis_ref, analysis_id, host, boot_id, uid, pid, comm, cmdline, cmdline_length, launcher_pid, state,
    verdict, detail, launched_at, deadline_at, ended_at, duration_sec, exit_status, exit_signal, timeout_sec, grace_sec, thrash_sec,
    memory_limit_bytes, swap_limit_bytes, pids_limit, term_signal, memory_bytes, memory_peak_bytes, anon_bytes, file_bytes, shmem_bytes,
    private_peak_bytes, swap_bytes, oom_events, oom_kill_events, max_events, pids, pids_peak, pids_max_events, cpu_sec, cpu_user_sec,
    cpu_system_sec, cpu_throttled_sec, psi_memory_some_sec, psi_memory_full_sec, psi_cpu_some_sec, psi_io_some_sec, psi_io_full_sec,
    io_read_bytes, io_write_bytes, enforcement, containment, not_enforced, labels, "group", events, extra, stored_at, received_at)
SELECT (begun_hex || '7' || hash_3 || '8' || hash_15)::uuid,
    ref, ref, host, '5a2f6f3c-51f5-4b0e-9d3c-0f1f4a1f5d6e', 1000 + n % 7, 4711, 'python3',
    'python3 -m pipeline.fit --survey kepler --target ' || n, 57, 4710, 'ended',
    CASE WHEN killed THEN reason WHEN n % 10 = 0 THEN 'failed' WHEN n % 51 = 0 THEN 'crashed' ELSE 'completed' END,
    CASE WHEN killed THEN 'memory limit reached' END, begun, begun + interval '30 minutes', at, ran,
    CASE WHEN killed THEN NULL ELSE (n % 10 = 0)::integer END, CASE WHEN killed THEN 'KILL' END, 1800, 10, 60, 2147483648, 0, 4096, 'TERM',
    700000000 + n % 100000000, 1400000000 + n % 100000000, 600000000, 100000000, 0, 1300000000 + n % 100000000, 0, 0, 0, 0, 0, 5, 0, ran * double precision '0.9',
    ran * double precision '0.8', ran * double precision '0.1', 0, 0, 0, 0.53, 0.25, 0.25, 8192000, 4096000, 'kernel', 'group', '[]', '{"project": "exoplanets"}',
    '/sys/fs/cgroup/scidex/' || ref || '-' || substr(hash, 12, 8), killed::integer, '{"launch_sec": 0.0023}',
    at + interval '50 ms', at + interval '1 second'
  FROM launches;
"""

EVENTS = """
INSERT INTO watchdog_events (event_id, seq, reason, run_id, analysis_ref, analysis_id, host, boot_id, uid, pid, comm, cmdline,
    cmdline_length, launcher_pid, detail, signals, decided_at, term_at, kill_at, empty_at, processes_killed, processes, evidence,
    launched_at, deadline_at, ended_at, duration_sec, exit_signal, timeout_sec, grace_sec, memory_limit_bytes, memory_bytes,
    memory_peak_bytes, anon_bytes, file_bytes, shmem_bytes, private_peak_bytes, oom_events, oom_kill_events, max_events, pids,
    pids_peak, cpu_sec, cpu_user_sec, cpu_system_sec, psi_memory_full_sec, enforcement, containment, labels, timeline, extra,
    stored_at, received_at)
SELECT (at_hex || '7' || hash_3 || '9' || hash_15)::uuid, 1, reason,
    (begun_hex || '7' || hash_3 || '8' || hash_15)::uuid,
    ref, ref, host, '5a2f6f3c-51f5-4b0e-9d3c-0f1f4a1f5d6e', 1000 + n % 7, 4711, 'python3',
    'python3 -m pipeline.fit --survey kepler --target ' || n, 57, 4710, 'memory limit reached',
    '[{"at": "2026-11-21T07:19:42.000000Z", "signal": "KILL", "processes": 3}]', at, NULL, at, at + interval '20 ms',
    3, '[{"pid": 4711, "comm": "python3", "rss_bytes": 2040109465}]', '{"oom": 1, "oom_kill": 3, "memory_peak_bytes": 2147483648}',
    begun, begun + interval '30 minutes', at, ran, 'KILL', 1800, 10, 2147483648, 2147483648, 2147483648, 2000000000,
    100000000, 0, 2000000000, 1, 3, 812, 3, 5, ran * double precision '0.9', ran * double precision '0.8', ran * double precision '0.1', 2.5,
    'kernel', 'group', '{"project": "exoplanets"}',
    '{"t_sec": [0, 60, 120, 180], "cpu_sec": [0, 57.1, 114.2, 171.5], "interval_sec": 60, "memory_bytes": [0, 700000000, 1400000000, 2147483648]}',
    '{"launch_sec": 0.0023}', at + interval '50 ms', at + interval '1 second'
  FROM launches WHERE killed;
"""

INDEXES = """
SELECT i.indexrelid::regclass, coalesce('ALTER TABLE watchdog_runs ADD ' || pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid)), c.conname
  FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
 WHERE i.indrelid = 'watchdog_runs'::regclass
"""

ALIVE = """
INSERT INTO watchdog_processes (run_id, host, supervisor, state)
SELECT gen_random_uuid(), 'node-' || to_char(n % {hosts}, 'FM9900'), 'system', CASE WHEN n % 50 = 0 THEN 'grace' ELSE 'running' END
  FROM generate_series(1, 1000) n;
INSERT INTO watchdog_hosts (host, supervisor) SELECT 'node-' || to_char(n, 'FM9900'), 'system' FROM generate_series(0, {hosts} - 1) n;
ANALYZE watchdog_processes, watchdog_hosts;
"""


class Year:
    """What there is by now: launches FIRST to END of PER_DAY a day, of which none is there at first."""

    def __init__(self, server, per_day, days, hosts):
        self.server, self.per_day, self.hosts = server, per_day, hosts
        self.first = self.end = per_day * days
        self.begin = server.number("SELECT extract(epoch FROM now())::bigint") - days * 86400
        server.psql(ALIVE.format(hosts=hosts))

    def piece(self, first, last):
        words = {"analyses": ANALYSES, "hosts": self.hosts, "killed": KILLED, "begin": self.begin, "sec": repr(86400 / self.per_day), "first": first, "last": last}
        self.server.psql(LAUNCHES.format(**words) + RUNS + EVENTS)

    def extend(self, days):
        """Back to DAYS before now: how many launches came; seconds for them, and for the indexes of watchdog_runs with VACUUM."""
        server, first = self.server, self.end - days * self.per_day
        begun = time.monotonic()
        server.psql(f"SELECT count(scidex_make_partition(d)) FROM generate_series(date_trunc('month', now() - interval '{days} days'), now(), '1 month') d")
        indexes = server.rows(INDEXES)
        for name, _, constraint in indexes:
            server.psql(f"ALTER TABLE watchdog_runs DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {name}")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda n: self.piece(n, min(n + PIECE, self.first) - 1), range(first, self.first, PIECE)))
        filled = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda index: server.psql(index[1]), indexes))
        server.psql("VACUUM (ANALYZE) watchdog_runs, watchdog_events, watchdog_kills_by_hour; CHECKPOINT")
        launches, self.first = self.first - first, first
        return launches, filled - begun, time.monotonic() - filled
