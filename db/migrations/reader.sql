-- What the role of those who read may do; done again by every `scidexctl db migrate`.
GRANT SELECT ON scidex_schema, watchdog_runs, watchdog_processes, watchdog_events, watchdog_events_default, watchdog_hosts,
    watchdog_kills_by_hour, watchdog_kills_24h, watchdog_live, watchdog_status TO scidex_reader;
GRANT EXECUTE ON FUNCTION scidex_kills_24h(), scidex_recent_kills(integer) TO scidex_reader;
