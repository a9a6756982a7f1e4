-- Forgetting while everybody goes on, and the last kills in a third of the time.
--
-- Until now scidex_retain() dropped the months first: a lock that keeps recorders and readers from all events, held until
-- the runs were deleted too, row by row.

-- For the owner: what is older goes. Runs row by row, at most so many (NULL: all); when there are no more, events by whole
-- months, which takes the time of a moment. Called again until runs < most, nobody waits for longer than that.
DROP FUNCTION scidex_retain(interval);
CREATE FUNCTION scidex_retain(keep interval, most bigint DEFAULT NULL, OUT partitions integer, OUT runs bigint)
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
    IF most IS NULL THEN
        DELETE FROM watchdog_runs WHERE coalesce(ended_at, launched_at, stored_at) < before;
    ELSE
        DELETE FROM watchdog_runs WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM watchdog_runs WHERE coalesce(ended_at, launched_at, stored_at) < before
             ORDER BY coalesce(ended_at, launched_at, stored_at) LIMIT most));
    END IF;
    GET DIAGNOSTICS runs = ROW_COUNT;
    IF runs >= most THEN
        RETURN;
    END IF;
    DELETE FROM watchdog_events_default WHERE coalesce(decided_at, stored_at) < before;
    DELETE FROM watchdog_kills_by_hour WHERE hour < before;
    -- Last, as this is what others wait for.
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
END
$function$;
REVOKE ALL ON FUNCTION scidex_retain(interval, bigint) FROM PUBLIC;

-- Asked for the rows of the last month, and only where they are too few for older ones: one plan instead of two, and of
-- the columns that are shown, as planning is most of its time. The bound of decided_at keeps it from reading, in the
-- default partition, all that has an old id only to leave it out.
CREATE OR REPLACE FUNCTION scidex_recent_kills(most integer) RETURNS TABLE (
    event_id uuid, run_id uuid, analysis_id text, host text, reason text, detail text, decided_at timestamptz,
    duration_sec double precision, memory_peak_bytes bigint, memory_limit_bytes bigint, processes_killed bigint)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET plan_cache_mode = force_custom_plan
AS $function$
#variable_conflict use_column
DECLARE
    latest timestamptz := now() + interval '1 hour';
    since timestamptz := now() - interval '30 days';
    first uuid := scidex_event_id_at(now() - interval '31 days');
    found integer;
BEGIN
    RETURN QUERY
    (SELECT e.event_id, e.run_id, e.analysis_ref, e.host, e.reason, e.detail, e.decided_at, e.duration_sec,
            e.memory_peak_bytes, e.memory_limit_bytes, e.processes_killed
       FROM watchdog_events e
      WHERE e.decided_at >= since AND e.decided_at <= latest AND e.event_id >= first ORDER BY e.decided_at DESC LIMIT most)
    UNION ALL
    (SELECT e.event_id, e.run_id, e.analysis_ref, e.host, e.reason, e.detail, e.decided_at, e.duration_sec,
            e.memory_peak_bytes, e.memory_limit_bytes, e.processes_killed
       FROM watchdog_events_default e
      WHERE e.decided_at >= since AND e.decided_at <= latest AND e.event_id < first ORDER BY e.decided_at DESC LIMIT most)
     ORDER BY decided_at DESC LIMIT most;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found < most THEN
        RETURN QUERY
        SELECT e.event_id, e.run_id, e.analysis_ref, e.host, e.reason, e.detail, e.decided_at, e.duration_sec,
               e.memory_peak_bytes, e.memory_limit_bytes, e.processes_killed
          FROM watchdog_events e WHERE e.decided_at < since ORDER BY e.decided_at DESC LIMIT most - found;
    END IF;
END
$function$;

-- By default a fifth of all rows may be dead before they are vacuumed: of a year two months of forgotten ones, in front of
-- what scidex_retain() looks for.
ALTER TABLE watchdog_runs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02);
