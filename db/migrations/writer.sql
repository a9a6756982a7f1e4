-- What the role of the recorders may do; done again by every `scidexctl db migrate`. Nothing can be removed from the
-- history but rows of runs that are `lost`, and no event can be changed.
GRANT SELECT ON scidex_schema TO scidex_writer;
GRANT INSERT, SELECT (event_id) ON watchdog_events TO scidex_writer;
GRANT INSERT, UPDATE, SELECT ON watchdog_runs TO scidex_writer;
GRANT INSERT, UPDATE, DELETE, SELECT ON watchdog_processes TO scidex_writer;
GRANT INSERT, UPDATE, SELECT ON watchdog_hosts TO scidex_writer;
GRANT EXECUTE ON FUNCTION scidex_known_analyses(text[]), scidex_make_partition(timestamptz),
    scidex_reconcile(text, text, text, uuid[]), scidex_found(uuid[]) TO scidex_writer;
