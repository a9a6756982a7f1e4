-- The record: what runs, what was killed, what ran, who reports, and the functions that the recorders call.
--
-- Applied by `scidexctl db migrate` in one transaction with search_path = (the schema of the record), pg_temp. Once
-- released it is never changed: a new file is added. docs/database.md is for those who read the tables.
--
-- Columns have the names of docs/protocol.md and no constraint that a kill could fail on: what a host has recorded is
-- taken as it is. Names of indexes begin with scidex_, so that they meet none of a table that was renamed.

CREATE TABLE scidex_schema (
    version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL
);
COMMENT ON TABLE scidex_schema IS 'The numbered steps of scidexctl db migrate that have been applied here.';

CREATE TABLE watchdog_runs (
    run_id uuid NOT NULL, analysis_ref text, analysis_id text, host text, boot_id text, uid bigint, pid bigint,
    comm text, cmdline text, cmdline_length bigint, launcher_pid bigint, state text, verdict text, detail text,
    launched_at timestamptz, deadline_at timestamptz, ended_at timestamptz, duration_sec double precision,
    exit_status bigint, exit_signal text, timeout_sec double precision, cpu_limit_sec double precision,
    grace_sec double precision, thrash_sec double precision, memory_limit_bytes bigint, memory_high_bytes bigint,
    swap_limit_bytes bigint, pids_limit bigint, cpus double precision, term_signal text, memory_bytes bigint,
    memory_peak_bytes bigint, anon_bytes bigint, file_bytes bigint, shmem_bytes bigint, private_peak_bytes bigint,
    swap_bytes bigint, oom_events bigint, oom_kill_events bigint, max_events bigint, pids bigint, pids_peak bigint,
    pids_max_events bigint, cpu_sec double precision, cpu_user_sec double precision, cpu_system_sec double precision,
    cpu_throttled_sec double precision, psi_memory_some_sec double precision, psi_memory_full_sec double precision,
    psi_cpu_some_sec double precision, psi_io_some_sec double precision, psi_io_full_sec double precision,
    io_read_bytes bigint, io_write_bytes bigint, enforcement text, containment text, not_enforced jsonb,
    outer_run_id uuid, labels jsonb, "group" text, events bigint, timeline jsonb,
    extra jsonb, stored_at timestamptz NOT NULL DEFAULT now(), received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id)
);
COMMENT ON TABLE watchdog_runs IS 'One row for each run that has ended.';
COMMENT ON COLUMN watchdog_runs.analysis_ref IS 'The analysis id as it was given; stays for good.';
COMMENT ON COLUMN watchdog_runs.analysis_id IS 'The same while the table analyses has it, else NULL.';
CREATE INDEX scidex_runs_at ON watchdog_runs ((coalesce(ended_at, launched_at, stored_at)));
CREATE INDEX scidex_runs_analysis_ref ON watchdog_runs (analysis_ref, (coalesce(ended_at, launched_at, stored_at)));
CREATE INDEX scidex_runs_analysis_id ON watchdog_runs (analysis_id) WHERE analysis_id IS NOT NULL;
CREATE INDEX scidex_runs_host ON watchdog_runs (host, (coalesce(ended_at, launched_at, stored_at)));
CREATE INDEX scidex_runs_verdict ON watchdog_runs (verdict, (coalesce(ended_at, launched_at, stored_at)));

-- Small, and written all the time: room in each page lets an update stay on it and touch no index.
CREATE TABLE watchdog_processes (
    run_id uuid NOT NULL, analysis_ref text, analysis_id text, host text, boot_id text, uid bigint, pid bigint,
    comm text, cmdline text, cmdline_length bigint, launcher_pid bigint, state text, verdict text, detail text,
    launched_at timestamptz, deadline_at timestamptz, ended_at timestamptz, duration_sec double precision,
    exit_status bigint, exit_signal text, timeout_sec double precision, cpu_limit_sec double precision,
    grace_sec double precision, thrash_sec double precision, memory_limit_bytes bigint, memory_high_bytes bigint,
    swap_limit_bytes bigint, pids_limit bigint, cpus double precision, term_signal text, memory_bytes bigint,
    memory_peak_bytes bigint, anon_bytes bigint, file_bytes bigint, shmem_bytes bigint, private_peak_bytes bigint,
    swap_bytes bigint, oom_events bigint, oom_kill_events bigint, max_events bigint, pids bigint, pids_peak bigint,
    pids_max_events bigint, cpu_sec double precision, cpu_user_sec double precision, cpu_system_sec double precision,
    cpu_throttled_sec double precision, psi_memory_some_sec double precision, psi_memory_full_sec double precision,
    psi_cpu_some_sec double precision, psi_io_some_sec double precision, psi_io_full_sec double precision,
    io_read_bytes bigint, io_write_bytes bigint, enforcement text, containment text, not_enforced jsonb,
    outer_run_id uuid, labels jsonb, "group" text, events bigint, timeline jsonb,
    supervisor text,
    extra jsonb, stored_at timestamptz NOT NULL DEFAULT now(), received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE watchdog_processes IS 'One row for each run that is alive, on all hosts.';
COMMENT ON COLUMN watchdog_processes.supervisor IS 'Which supervisor of the host: ''system'', or ''user:UID''.';
COMMENT ON COLUMN watchdog_processes.analysis_ref IS 'The analysis id as it was given; stays for good.';
COMMENT ON COLUMN watchdog_processes.analysis_id IS 'The same while the table analyses has it, else NULL.';
CREATE INDEX scidex_processes_host ON watchdog_processes (host, supervisor);
CREATE INDEX scidex_processes_analysis_ref ON watchdog_processes (analysis_ref);
CREATE INDEX scidex_processes_analysis_id ON watchdog_processes (analysis_id) WHERE analysis_id IS NOT NULL;

-- By event_id, since a unique key of a partitioned table must contain what it is partitioned by. The ids are UUIDv7:
-- their order is that of time, and a month is a range of them.
CREATE TABLE watchdog_events (
    event_id uuid NOT NULL, seq bigint, reason text, run_id uuid NOT NULL, analysis_ref text, analysis_id text,
    host text, boot_id text, uid bigint, pid bigint, comm text, cmdline text, cmdline_length bigint,
    launcher_pid bigint, detail text, signals jsonb, decided_at timestamptz, term_at timestamptz,
    kill_at timestamptz, empty_at timestamptz, processes_killed bigint, processes jsonb, overshoot_bytes bigint,
    evidence jsonb, launched_at timestamptz, deadline_at timestamptz, ended_at timestamptz,
    duration_sec double precision, exit_status bigint, exit_signal text, timeout_sec double precision,
    cpu_limit_sec double precision, grace_sec double precision, thrash_sec double precision,
    memory_limit_bytes bigint, memory_high_bytes bigint, swap_limit_bytes bigint, pids_limit bigint,
    cpus double precision, term_signal text, memory_bytes bigint, memory_peak_bytes bigint, anon_bytes bigint,
    file_bytes bigint, shmem_bytes bigint, private_peak_bytes bigint, swap_bytes bigint, oom_events bigint,
    oom_kill_events bigint, max_events bigint, pids bigint, pids_peak bigint, pids_max_events bigint,
    cpu_sec double precision, cpu_user_sec double precision, cpu_system_sec double precision,
    cpu_throttled_sec double precision, psi_memory_some_sec double precision, psi_memory_full_sec double precision,
    psi_cpu_some_sec double precision, psi_io_some_sec double precision, psi_io_full_sec double precision,
    io_read_bytes bigint, io_write_bytes bigint, enforcement text, containment text, not_enforced jsonb,
    outer_run_id uuid, labels jsonb, timeline jsonb,
    extra jsonb, stored_at timestamptz NOT NULL DEFAULT now(), received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE watchdog_events IS 'One row for each kill, with what led to it; partitioned by month.';
COMMENT ON COLUMN watchdog_events.analysis_ref IS 'The analysis id as it was given; stays for good.';
COMMENT ON COLUMN watchdog_events.analysis_id IS 'The same while the table analyses has it, else NULL.';
CREATE INDEX scidex_events_at ON watchdog_events (decided_at) INCLUDE (reason, host);
CREATE INDEX scidex_events_reason ON watchdog_events (reason, decided_at);
CREATE INDEX scidex_events_analysis_ref ON watchdog_events (analysis_ref, decided_at);
CREATE INDEX scidex_events_analysis_id ON watchdog_events (analysis_id) WHERE analysis_id IS NOT NULL;
CREATE INDEX scidex_events_host ON watchdog_events (host, decided_at);
CREATE INDEX scidex_events_run ON watchdog_events (run_id, seq);
CREATE INDEX scidex_events_received ON watchdog_events (received_at);
CREATE TABLE watchdog_events_default PARTITION OF watchdog_events DEFAULT;
COMMENT ON TABLE watchdog_events_default IS 'Events whose id is no time between 2 years ago and 3 months ahead.';

-- Counted as they come, so that a status page need not count ten thousands of rows each time. By host, so that no host's
-- transaction waits for another's; in order of the key, so that those of one host do not wait for each other in a ring.
CREATE TABLE watchdog_kills_by_hour (
    hour timestamptz, host text, reason text, kills bigint NOT NULL,
    PRIMARY KEY (hour, host, reason)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE watchdog_kills_by_hour IS 'Rows of watchdog_events by hour (UTC) of decided_at; an empty text is none.';

CREATE FUNCTION scidex_count_kills() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $function$
BEGIN
    INSERT INTO watchdog_kills_by_hour AS c (hour, host, reason, kills)
    SELECT date_trunc('hour', decided_at, 'UTC'), coalesce(host, ''), coalesce(reason, ''), count(*)
      FROM arrived WHERE decided_at IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (hour, host, reason) DO UPDATE SET kills = c.kills + excluded.kills;
    RETURN NULL;
END
$function$;
CREATE TRIGGER scidex_count AFTER INSERT ON watchdog_events REFERENCING NEW TABLE AS arrived
    FOR EACH STATEMENT EXECUTE FUNCTION scidex_count_kills();

CREATE TABLE watchdog_hosts (
    host text, supervisor text, boot_id text, version text, heartbeat_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_sec double precision NOT NULL DEFAULT 30, connected_at timestamptz, waiting bigint,
    oldest_waiting_at timestamptz, dead_letters bigint, shipped bigint,
    PRIMARY KEY (host, supervisor),
    -- One host's nonsense here would be an error for everyone who asks who is silent.
    CONSTRAINT watchdog_hosts_heartbeat_sec_check CHECK (heartbeat_sec > 0 AND heartbeat_sec <= 86400)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE watchdog_hosts IS 'Who reports to this database: one row for each supervisor of each host.';
COMMENT ON COLUMN watchdog_hosts.heartbeat_at IS 'By the clock of this server.';
COMMENT ON COLUMN watchdog_hosts.heartbeat_sec IS 'How often one comes; after three that did not the host is silent.';
COMMENT ON COLUMN watchdog_hosts.waiting IS 'Rows of its outbox that had not been shipped then.';

-- The lowest id that an event of this time can have: event_id >= scidex_event_id_at(...) reads no older partition.
CREATE FUNCTION scidex_event_id_at(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (lpad(to_hex(greatest(0, floor(extract(epoch FROM at) * 1000))::bigint), 12, '0')
        || '00000000000000000000')::uuid;

-- Of these ids those that may stand in analysis_id: all of them unless `db migrate` has linked it to the platform's
-- table. The key says which table and column that is, whatever they are called by now.
CREATE FUNCTION scidex_known_analyses(refs text[]) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $function$
DECLARE
    key record;
BEGIN
    -- The type below all domains: their checks are the platform's, and an id that fails one is only unknown.
    SELECT c.confrelid::regclass AS analyses, a.attname, format('%I.%I', n.nspname, l.collname) AS collation,
           (WITH RECURSIVE base AS (SELECT a.atttypid AS type UNION ALL
              SELECT y.typbasetype FROM base JOIN pg_type y ON y.oid = base.type WHERE y.typtype = 'd')
            SELECT format_type(y.oid, -1) FROM base JOIN pg_type y ON y.oid = base.type WHERE y.typtype <> 'd') AS type
      INTO key
      FROM pg_constraint c
      JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = c.confkey[1]
      JOIN pg_collation l ON l.oid = a.attcollation
      JOIN pg_namespace n ON n.oid = l.collnamespace
     WHERE c.conrelid = 'watchdog_runs'::regclass AND c.contype = 'f'
       AND c.conname = 'watchdog_runs_analysis_id_fkey';
    IF NOT FOUND THEN
        RETURN QUERY SELECT DISTINCT r FROM unnest(refs) r WHERE r IS NOT NULL;
    ELSE
        -- The type without a length: a cast to varchar(9) would cut the id, and find another.
        RETURN QUERY EXECUTE format(
            'SELECT DISTINCT r FROM unnest($1) r WHERE EXISTS (SELECT FROM %s a WHERE a.%I = r::%s COLLATE %s)',
            key.analyses, key.attname, key.type, key.collation) USING refs;
    END IF;
END
$function$;

-- The partition of the month of a time (UTC), made if it is not there. NULL: rows go to the default partition, because
-- the time is out of bounds, somebody holds the table, or the month's table has been taken out of it. Made later, the
-- partition takes over what went to the default one meanwhile.
CREATE FUNCTION scidex_make_partition(at timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '5s'
AS $function$
DECLARE
    month timestamptz;
    first uuid;
    beyond uuid;
    name text;
    place text;
    attached boolean;
BEGIN
    IF at IS NULL OR at < now() - interval '2 years' OR at > now() + interval '3 months' THEN
        RETURN NULL;
    END IF;
    month := date_trunc('month', at, 'UTC');
    first := scidex_event_id_at(month);
    beyond := scidex_event_id_at(month + interval '1 month');
    name := 'watchdog_events_' || to_char(month, '"y"YYYY"m"MM');
    place := format('%I.%I', current_schema(), name);
    -- By a query and not by to_regclass(), which after the wait would still remember that there was none.
    IF to_regclass(place) IS NULL THEN
        PERFORM pg_advisory_xact_lock(126870807143800);
    END IF;
    SELECT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = 'watchdog_events'::regclass)
      INTO attached
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = name AND n.nspname = current_schema();
    IF FOUND THEN
        RETURN CASE WHEN attached THEN name END;
    END IF;
    LOCK TABLE watchdog_events_default IN ACCESS EXCLUSIVE MODE;
    -- Only ever added to: vacuum, which marks pages that an index alone can answer for, is to come by inserts.
    EXECUTE format('CREATE TABLE %s (LIKE watchdog_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)'
        ' WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05)', place);
    EXECUTE format('WITH moved AS (DELETE FROM watchdog_events_default WHERE event_id >= $1 AND event_id < $2'
        ' RETURNING *) INSERT INTO %s SELECT * FROM moved', place) USING first, beyond;
    EXECUTE format('ALTER TABLE watchdog_events ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        place, first, beyond);
    RETURN name;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN NULL;
    WHEN duplicate_table THEN
        RETURN name; -- made meanwhile, and not to be seen from a snapshot that is older
END
$function$;

-- Live rows of a host that nobody there knows any more: removed; a run that left no row gets one, as `lost`.
CREATE FUNCTION scidex_reconcile(host text, supervisor text, boot_id text, run_ids uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '5s'
AS $function$
DECLARE
    removed bigint;
BEGIN
    WITH gone AS (
        DELETE FROM watchdog_processes p
         WHERE p.host = scidex_reconcile.host AND p.supervisor = scidex_reconcile.supervisor
           AND p.run_id <> ALL (coalesce(run_ids, '{}'))
        RETURNING p.*
    ), closed AS (
        INSERT INTO watchdog_runs
        SELECT r.* FROM gone,
            jsonb_populate_record(NULL::watchdog_runs, to_jsonb(gone) || jsonb_build_object(
                'state', 'ended', 'verdict', 'lost', 'received_at', now(),
                'detail', CASE WHEN gone.boot_id <> scidex_reconcile.boot_id THEN 'the host restarted'
                               ELSE 'ended while no supervisor was there' END)) r
        ON CONFLICT (run_id) DO NOTHING
    )
    SELECT count(*) INTO removed FROM gone;
    RETURN removed;
END
$function$;

-- A run that was closed as `lost` lives after all: its row goes. No other row of the history can be deleted so.
CREATE FUNCTION scidex_found(run_ids uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '5s'
AS $function$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM watchdog_runs WHERE run_id = ANY (run_ids) AND verdict = 'lost';
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$function$;

-- For the owner: a host that does not come back. Its live rows are closed as `lost`, it is no longer expected.
CREATE FUNCTION scidex_forget(host text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '5s'
AS $function$
DECLARE
    removed bigint;
BEGIN
    PERFORM FROM watchdog_hosts h
      WHERE h.host = scidex_forget.host AND h.heartbeat_at >= now() - 3 * h.heartbeat_sec * interval '1 second';
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = format('host %s is not silent', host),
            HINT = 'stop the supervisor there first; three heartbeats later it can be forgotten';
    END IF;
    WITH gone AS (
        DELETE FROM watchdog_processes p WHERE p.host = scidex_forget.host RETURNING p.*
    ), closed AS (
        INSERT INTO watchdog_runs
        SELECT r.* FROM gone,
            jsonb_populate_record(NULL::watchdog_runs, to_jsonb(gone) || jsonb_build_object(
                'state', 'ended', 'verdict', 'lost', 'received_at', now(), 'detail', 'the host was forgotten')) r
        ON CONFLICT (run_id) DO NOTHING
    )
    SELECT count(*) INTO removed FROM gone;
    DELETE FROM watchdog_hosts h WHERE h.host = scidex_forget.host;
    RETURN removed;
END
$function$;

-- For the owner: what is older goes. Events by whole months, which costs nothing; runs row by row.
CREATE FUNCTION scidex_retain(keep interval, OUT partitions integer, OUT runs bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '5s'
AS $function$
DECLARE
    before timestamptz := now() - keep;
    part regclass;
BEGIN
    partitions := 0;
    IF keep IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'less than a day would be kept',
            HINT = 'name a longer time, for example 400 days';
    END IF;
    PERFORM pg_advisory_xact_lock(126870807143800);
    FOR part IN
        SELECT i.inhrelid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'watchdog_events'::regclass
           AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''([0-9a-f-]{36})''[)]')::uuid
               <= scidex_event_id_at(before)
         ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', part);
        partitions := partitions + 1;
    END LOOP;
    DELETE FROM watchdog_events_default WHERE coalesce(decided_at, stored_at) < before;
    DELETE FROM watchdog_kills_by_hour WHERE hour < before;
    DELETE FROM watchdog_runs WHERE coalesce(ended_at, launched_at, stored_at) < before;
    GET DIAGNOSTICS runs = ROW_COUNT;
END
$function$;

REVOKE ALL ON FUNCTION scidex_count_kills(), scidex_known_analyses(text[]), scidex_make_partition(timestamptz),
    scidex_reconcile(text, text, text, uuid[]), scidex_found(uuid[]), scidex_forget(text), scidex_retain(interval)
    FROM PUBLIC;

CREATE VIEW watchdog_live AS
SELECT p.*, h.heartbeat_at AS host_heartbeat_at,
       coalesce(h.heartbeat_at < now() - 3 * h.heartbeat_sec * interval '1 second', true) AS host_silent
  FROM watchdog_processes p LEFT JOIN watchdog_hosts h USING (host, supervisor);
COMMENT ON VIEW watchdog_live IS 'What runs, and whether the host that says so still reports.';

-- For the views below. Functions, because the planner leaves out the partitions of other months only where it sees the
-- bound while it plans, and to plan for all of them takes longer than the query. No id is a month older than its kill,
-- but for those that are no time at all: these are in the default partition.
CREATE FUNCTION scidex_kills_24h() RETURNS TABLE (reason text, host text, kills bigint)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET plan_cache_mode = force_custom_plan
AS $function$
#variable_conflict use_column
DECLARE
    month_ago uuid := scidex_event_id_at(now() - interval '31 days');
    since timestamptz := now() - interval '24 hours';
    counted timestamptz := date_trunc('hour', now() - interval '23 hours', 'UTC');
    latest timestamptz := now() + interval '1 hour'; -- a host whose clock is wrong, for long
BEGIN
    -- Whole hours as they were counted, and the rows of the hour that has begun to be too old.
    RETURN QUERY
    SELECT k.reason, k.host, sum(k.kills)::bigint
      FROM (SELECT reason, host, kills FROM watchdog_kills_by_hour WHERE hour >= counted AND hour <= latest
            UNION ALL
            SELECT coalesce(reason, ''), coalesce(host, ''), count(*) FROM watchdog_events
             WHERE decided_at >= since AND decided_at < counted AND event_id >= month_ago
             GROUP BY 1, 2
            UNION ALL
            SELECT coalesce(reason, ''), coalesce(host, ''), count(*) FROM watchdog_events_default
             WHERE decided_at >= since AND decided_at < counted AND event_id < month_ago
             GROUP BY 1, 2) k
     GROUP BY 1, 2;
END
$function$;

CREATE FUNCTION scidex_recent_kills(most integer) RETURNS TABLE (
    event_id uuid, run_id uuid, analysis_id text, host text, reason text, detail text, decided_at timestamptz,
    duration_sec double precision, memory_peak_bytes bigint, memory_limit_bytes bigint, processes_killed bigint)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET plan_cache_mode = force_custom_plan
AS $function$
#variable_conflict use_column
DECLARE
    first uuid := scidex_event_id_at(now() - interval '31 days');
    latest timestamptz := now() + interval '1 hour';
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM watchdog_events WHERE decided_at <= latest AND event_id >= first LIMIT most) e)
       < most THEN
        first := '00000000-0000-0000-0000-000000000000';
    END IF;
    RETURN QUERY
    SELECT e.event_id, e.run_id, e.analysis_ref, e.host, e.reason, e.detail, e.decided_at, e.duration_sec,
           e.memory_peak_bytes, e.memory_limit_bytes, e.processes_killed
      FROM ((SELECT * FROM watchdog_events
              WHERE decided_at <= latest AND event_id >= first ORDER BY decided_at DESC LIMIT most)
            UNION ALL
            (SELECT * FROM watchdog_events_default
              WHERE decided_at <= latest AND event_id < first ORDER BY decided_at DESC LIMIT most)) e
     ORDER BY e.decided_at DESC LIMIT most;
END
$function$;
REVOKE ALL ON FUNCTION scidex_kills_24h(), scidex_recent_kills(integer) FROM PUBLIC;

CREATE VIEW watchdog_kills_24h AS SELECT reason, host, kills FROM scidex_kills_24h();
COMMENT ON VIEW watchdog_kills_24h IS 'Kills of the last 24 hours by reason and host, to the second.';

CREATE VIEW watchdog_status AS
SELECT now() AS generated_at, live.*, hosts.*, kills.*,
       (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.decided_at DESC), '[]')
          FROM scidex_recent_kills(20) e) AS recent_events
  FROM (SELECT count(*) AS monitored_count, count(*) FILTER (WHERE state = 'grace') AS grace_count,
               count(*) FILTER (WHERE host_silent) AS silent_count
          FROM watchdog_live) live,
       (SELECT count(*) AS hosts,
               count(*) FILTER (WHERE heartbeat_at < now() - 3 * heartbeat_sec * interval '1 second') AS silent_hosts
          FROM watchdog_hosts) hosts,
       (SELECT coalesce(sum(n), 0)::bigint AS kills_last_24h,
               coalesce(jsonb_object_agg(reason, n), '{}') AS kills_by_reason
          FROM (SELECT reason, sum(kills) AS n FROM watchdog_kills_24h GROUP BY reason) r) kills;
COMMENT ON VIEW watchdog_status IS 'One row: the figures of /api/quests/status, for all hosts together.';
