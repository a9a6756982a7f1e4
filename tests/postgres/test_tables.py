"""Who may do what with the tables, their partitions, and the functions that the writer has."""

import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from feeder import uuid7  # noqa: E402
from migratetest import DAY, TABLES, MigrateTest  # noqa: E402
from postgresserver import PsqlError  # noqa: E402


class Rights(MigrateTest):
    MIGRATED = True

    def setUp(self):
        super().setUp()
        self.role("recorder", member_of="scidex_writer")
        self.role("dashboard", member_of="scidex_reader")

    def test_the_writer_writes(self):
        event = "INSERT INTO watchdog_events (event_id, run_id) VALUES ('{0}', '{0}') ON CONFLICT (event_id) DO NOTHING"
        run = "INSERT INTO watchdog_runs (run_id, verdict) VALUES ('{0}', 'lost') ON CONFLICT (run_id) DO UPDATE SET verdict = excluded.verdict"
        process = "INSERT INTO watchdog_processes (run_id, host, supervisor) VALUES ('{0}', 'a', 'system') ON CONFLICT (run_id) DO UPDATE SET pid = 1"
        host = "INSERT INTO watchdog_hosts (host, supervisor) VALUES ('a', 'system') ON CONFLICT (host, supervisor) DO UPDATE SET heartbeat_at = now()"
        key = uuid7()
        for statement in (event, run, process, host) * 2:
            self.server.psql(statement.format(key), user="recorder")
        self.assertEqual([self.count(table) for table in TABLES[1:] if not re.search("default|by_hour", table)], [1, 1, 1, 1])
        self.server.psql(
            "SELECT scidex_make_partition(now()); SELECT scidex_known_analyses(ARRAY['a']); SELECT max(version) FROM scidex_schema;"
            f"SELECT scidex_found(ARRAY['{key}']::uuid[]); SELECT scidex_reconcile('a', 'system', 'boot', ARRAY[]::uuid[])",
            user="recorder",
        )
        self.assertEqual((self.count("watchdog_runs"), self.count("watchdog_processes")), (1, 0))

    def test_the_writer_changes_no_event_and_no_history(self):
        self.event()
        for statement in (
            "UPDATE watchdog_events SET reason = 'x'", "DELETE FROM watchdog_events", "SELECT cmdline FROM watchdog_events",
            "DELETE FROM watchdog_runs", "TRUNCATE watchdog_runs", "INSERT INTO scidex_schema VALUES (2, 'x', now(), 'x')",
            "SELECT * FROM scidex_retain('400 days')", "SELECT scidex_forget('a')", "DROP TABLE watchdog_runs", "CREATE TABLE mine (a int)",
        ):  # fmt: skip
            with self.subTest(statement):
                with self.assertRaises(PsqlError) as caught:
                    self.server.psql(statement, user="recorder")
                self.assertRegex(str(caught.exception), "permission denied|must be owner")

    def test_the_reader_only_reads(self):
        self.event()
        for view in ("watchdog_events", "watchdog_runs", "watchdog_processes", "watchdog_hosts", "watchdog_live", "watchdog_status", "scidex_schema"):
            self.server.psql(f"SELECT * FROM {view}", user="dashboard")
        self.server.psql("SELECT count(*) FROM watchdog_events WHERE event_id >= scidex_event_id_at(now() - interval '1 day')", user="dashboard")
        self.assertEqual(self.status(user="dashboard")["state"], "ok")
        for statement in (
            "INSERT INTO watchdog_hosts (host, supervisor) VALUES ('a', 'b')", "UPDATE watchdog_runs SET verdict = NULL",
            "SELECT scidex_make_partition(now())", "SELECT scidex_reconcile('a', 'b', 'c', NULL)", "SELECT scidex_found(NULL)",
        ):  # fmt: skip
            with self.subTest(statement):
                self.refused(statement, user="dashboard")

    def test_everybody_else_may_nothing(self):
        self.role("stranger")
        # The schema is of no help where it is in nobody's path.
        self.server.psql("SET search_path = pg_catalog; SELECT * FROM public.watchdog_status; SELECT * FROM public.watchdog_kills_24h", user="dashboard")
        for statement in ("SELECT * FROM watchdog_runs", "SELECT * FROM watchdog_status", "SELECT scidex_make_partition(now())", "SELECT scidex_forget('a')"):
            with self.subTest(statement):
                self.refused(statement, user="stranger")
        self.assertEqual(self.status(user="stranger", status=1)["state"], "denied")

    def test_the_owners_functions_see_no_table_of_their_caller(self):
        self.server.psql("INSERT INTO watchdog_runs (run_id, verdict) VALUES ('01a19467-e800-7000-8000-000000000001', 'lost')")
        found = self.server.psql(
            "CREATE TEMPORARY TABLE watchdog_runs (run_id uuid, verdict text); SET search_path = pg_temp, public;"
            "SELECT public.scidex_found(ARRAY['01a19467-e800-7000-8000-000000000001']::uuid[])",
            user="recorder",
        )
        self.assertEqual(found, "1")
        for (name, settings) in self.server.rows("SELECT proname, array_to_string(proconfig, ';') FROM pg_proc WHERE prosecdef AND proname ~ '^scidex_'"):
            self.assertIn("search_path=public, pg_temp", settings, name)

    def test_roles_that_can_not_be_made(self):
        self.server.drop_database()
        self.server.psql("DROP ROLE scidex_writer, scidex_reader", database="postgres")
        self.server.create_database()
        self.role("plain")
        self.server.psql("GRANT CREATE ON SCHEMA public TO plain")
        report = self.db("migrate", user="plain")
        self.assertIn("CREATE ROLE scidex_writer NOLOGIN", report["roles"]["scidex_writer"])
        self.assertEqual(report["version"], 2)
        self.server.psql("CREATE ROLE scidex_writer NOLOGIN; CREATE ROLE scidex_reader NOLOGIN")
        self.assertEqual(self.db("migrate", user="plain")["roles"], {"scidex_writer": "ok", "scidex_reader": "ok"})
        self.server.psql("GRANT scidex_writer TO recorder")
        self.server.psql("SELECT scidex_make_partition(now())", user="recorder")


class Partitions(MigrateTest):
    MIGRATED = True

    def make(self, at):
        return self.server.psql(f"SELECT scidex_make_partition({at})")

    def places(self):
        return [place for (place,) in self.server.rows("SELECT tableoid::regclass FROM watchdog_events ORDER BY 1")]

    def test_a_month_is_made_once(self):
        self.assertEqual(self.make("'2026-02-28 23:59:59.999Z'"), "watchdog_events_y2026m02")
        self.assertEqual(self.make("'2026-02-01 00:00:00+01'"), "watchdog_events_y2026m01")
        self.assertEqual(self.make("'2026-02-01 00:00:00Z'"), "watchdog_events_y2026m02")

    def test_many_at_once(self):
        names = []
        threads = [threading.Thread(target=lambda: names.append(self.make("now() - interval '100 days'"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(set(names)), 1)
        self.assertNotIn("", names)

    def test_no_month_out_of_bounds(self):
        for at in ("now() + interval '4 months'", "now() - interval '3 years'", "'infinity'", "'-infinity'", "NULL"):
            self.assertEqual(self.make(at), "", at)

    def test_ids_go_where_their_time_is(self):
        self.server.psql("SELECT scidex_make_partition('2026-10-31Z')")
        cases = [(1793491199.999, "watchdog_events_y2026m10"), (1793491200, "watchdog_events_y2026m11"), (1, "watchdog_events_default")]
        for seconds, place in cases:
            event_id = self.event(seconds=seconds)
            self.assertEqual(self.server.psql(f"SELECT tableoid::regclass FROM watchdog_events WHERE event_id = '{event_id}'"), place)

    def test_what_waited_in_the_default_partition_moves(self):
        seconds = self.server.number("SELECT extract(epoch FROM now() - interval '300 days')::bigint")
        ids = {self.event(seconds=seconds) for _ in range(3)} | {self.event(seconds=1)}
        name = self.make(f"to_timestamp({seconds})")
        self.assertEqual(self.places(), ["watchdog_events_default"] + [name] * 3)
        self.assertEqual({event_id for (event_id,) in self.server.rows("SELECT event_id FROM watchdog_events")}, ids)

    def test_a_month_that_was_taken_out_stays_out(self):
        name = self.make("now()")
        self.server.psql(f"ALTER TABLE watchdog_events DETACH PARTITION {name}")
        self.assertEqual(self.make("now()"), "")
        self.event()
        self.assertEqual(self.places(), ["watchdog_events_default"])

    def test_a_table_that_is_held_does_not_hold_up_the_recorder(self):
        with self.held("LOCK TABLE watchdog_events_default IN ACCESS SHARE MODE"):
            self.assertEqual(self.make("now() - interval '200 days'"), "")
            self.assertNotEqual(self.make("now()"), "")
        self.assertNotEqual(self.make("now() - interval '200 days'"), "")


class Functions(MigrateTest):
    MIGRATED = True

    def process(self, run_id, host="a", supervisor="system", boot_id="b1", **columns):
        names = "".join(f", {name}" for name in columns)
        values = "".join(f", {value}" for value in columns.values())
        self.server.psql(
            f"INSERT INTO watchdog_processes (run_id, host, supervisor, boot_id, state{names}) VALUES ('{run_id}', '{host}', '{supervisor}', '{boot_id}', 'running'{values})"
        )
        return run_id

    def runs(self):
        return {row[0]: tuple(row[1:]) for row in self.server.rows("SELECT run_id, verdict, coalesce(detail, '-') FROM watchdog_runs")}

    def test_reconcile_closes_what_is_gone_of_this_supervisor_only(self):
        alive, gone, before, done = (self.process(uuid7(), **more) for more in ({}, {}, {"boot_id": "b0"}, {}))
        self.process(uuid7(), host="b")
        self.process(uuid7(), supervisor="user:1000")
        self.server.psql(f"INSERT INTO watchdog_runs (run_id, verdict) VALUES ('{done}', 'memory')")
        self.assertEqual(self.server.number(f"SELECT scidex_reconcile('a', 'system', 'b1', ARRAY['{alive}']::uuid[])"), 3)
        self.assertEqual(self.count("watchdog_processes"), 3)
        self.assertEqual(
            self.runs(), {gone: ("lost", "ended while no supervisor was there"), before: ("lost", "the host restarted"), done: ("memory", "-")}
        )

    def test_a_run_that_is_lost_keeps_what_was_known(self):
        run_id = self.process(
            uuid7(), launched_at="'2026-11-21 07:19:42.123457Z'", duration_sec="0.1", memory_limit_bytes="9223372036854775807",
            labels="""'{"k": ["x", 1.50]}'""", analysis_ref="'SDA-1'",
        )  # fmt: skip
        before = self.server.json(f"SELECT * FROM watchdog_processes WHERE run_id = '{run_id}'")[0]
        self.server.psql("SELECT scidex_reconcile('a', 'system', 'b1', NULL)")
        after = self.server.json(f"SELECT * FROM watchdog_runs WHERE run_id = '{run_id}'")[0]
        differs = {key for key in after if after[key] != before[key]}
        self.assertEqual(differs - {"received_at"}, {"state", "verdict", "detail"})
        self.assertEqual(set(before) - set(after), {"supervisor"})

    def test_found_takes_back_lost_runs_only(self):
        lost, ended = uuid7(), uuid7()
        self.server.psql(f"INSERT INTO watchdog_runs (run_id, verdict) VALUES ('{lost}', 'lost'), ('{ended}', 'memory')")
        self.assertEqual(self.server.number(f"SELECT scidex_found(ARRAY['{lost}', '{ended}']::uuid[])"), 1)
        self.assertEqual(list(self.runs()), [ended])

    def test_a_host_is_forgotten_when_it_is_silent(self):
        run_id = self.process(uuid7())
        other = self.process(uuid7(), host="b")
        self.server.psql("INSERT INTO watchdog_hosts (host, supervisor) VALUES ('a', 'system'), ('b', 'system')")
        error = self.db("forget", "a", status=4)["error"]
        self.assertEqual(error["code"], "busy")
        self.server.psql("UPDATE watchdog_hosts SET heartbeat_at = now() - interval '91 seconds'")
        self.assertEqual(self.server.rows("SELECT host_silent FROM watchdog_live"), [["t"], ["t"]])
        self.assertEqual(self.db("forget", "a")["closed"], 1)
        self.assertEqual(self.runs(), {run_id: ("lost", "the host was forgotten")})
        self.assertEqual(self.server.rows("SELECT run_id FROM watchdog_live"), [[other]])
        self.assertEqual([host["host"] for host in self.status()["hosts"]], ["b"])
        self.assertEqual(self.db("forget", "a", status=1)["error"]["code"], "not-found")

    def test_retain_drops_what_is_wholly_older(self):
        now = self.server.number("SELECT extract(epoch FROM now())::bigint")
        for days in (0, 35, 420, 700):
            self.server.psql(f"SELECT scidex_make_partition(now() - interval '{days} days')")
            self.event(seconds=now - days * DAY)
            self.server.psql(f"INSERT INTO watchdog_runs (run_id, ended_at) VALUES ('{uuid7()}', now() - interval '{days} days')")
        before = self.status()["partitions"]["count"]
        done = self.db("retain", "500d")
        self.assertEqual((done["partitions"], done["runs"]), (1, 1))
        self.assertEqual(self.status()["partitions"]["count"], before - 1)
        self.assertEqual((self.count("watchdog_events"), self.count("watchdog_runs")), (3, 3))
        with self.held("LOCK TABLE watchdog_runs IN SHARE MODE"):
            self.assertEqual(self.db("retain", "300d", status=4)["error"]["code"], "busy")
        self.assertEqual(self.db("retain", "2h", status=2)["error"]["code"], "bad-request")
        self.assertEqual(self.db("retain", "soon", status=2)["error"]["code"], "usage")
        self.assertEqual(self.count("watchdog_events"), 3)

    def test_retain_goes_in_steps_and_drops_the_months_last(self):
        now = self.server.number("SELECT extract(epoch FROM now())::bigint")
        self.server.psql("SELECT scidex_make_partition(now() - interval '700 days')")
        self.event(seconds=now - 700 * DAY, at="now() - interval '700 days'")
        for days in (650, 600, 700, 1):
            self.server.psql(f"INSERT INTO watchdog_runs (run_id, ended_at) VALUES ('{uuid7()}', now() - interval '{days} days')")
        step = "SELECT * FROM scidex_retain('500 days', 2)"
        with self.held(f"CREATE TEMPORARY TABLE done AS {step}"):  # who ships, and who reads, does not wait for it
            self.event(seconds=now)
            self.assertEqual(self.server.psql("SET lock_timeout = '1s'; SELECT count(*) FROM watchdog_events; SELECT monitored_count FROM watchdog_status"), "2\n0")
        self.assertEqual(self.server.rows(step), [["0", "2"]])
        self.assertEqual(self.server.psql("SELECT max(now() - ended_at) > interval '650 days' FROM watchdog_runs"), "f")
        with self.held("LOCK TABLE watchdog_events IN ACCESS SHARE MODE"):
            self.refused(step, "lock timeout")
        self.assertEqual(self.server.rows(step), [["1", "1"]])
        self.assertEqual(self.server.rows(step), [["0", "0"]])
        self.assertEqual((self.count("watchdog_events"), self.count("watchdog_runs")), (1, 1))

    def test_kills_are_counted_once_and_to_the_second(self):
        insert = (
            "INSERT INTO watchdog_events (event_id, run_id, host, reason, decided_at)"
            " SELECT md5(n::text)::uuid, md5(n::text)::uuid, 'node-' || n % 3, CASE WHEN n % 5 > 0 THEN 'memory' END, now() - n * interval '61 seconds'"
            " FROM generate_series(1, 3000) n ON CONFLICT (event_id) DO NOTHING"
        )
        for _ in range(2):
            self.server.psql(insert)
        self.assertEqual(self.server.psql("SELECT DISTINCT tableoid::regclass FROM watchdog_events"), "watchdog_events_default")
        self.server.psql(insert.replace("md5(n::text)::uuid, md5", "(left(scidex_event_id_at(now() - n * interval '61 seconds')::text, 14) || right(md5(n::text)::uuid::text, 22))::uuid, md5"))
        counted = "SELECT coalesce(reason, ''), host, count(*) FROM watchdog_events WHERE decided_at >= now() - interval '24 hours' GROUP BY 1, 2"
        differs = f"SELECT count(*) FROM ((TABLE watchdog_kills_24h EXCEPT ({counted})) UNION ALL (({counted}) EXCEPT TABLE watchdog_kills_24h)) d"
        self.assertEqual(self.server.number(differs), 0)
        # In one statement, which has one now().
        day = "(SELECT sum(kills) FROM watchdog_kills_24h), (SELECT count(*) FROM watchdog_events WHERE decided_at >= now() - interval '24 hours')"
        ((kills, events),) = self.server.rows(f"SELECT {day}")
        self.assertEqual(kills, events)
        self.assertEqual(self.server.number("SELECT sum(kills) FROM watchdog_kills_by_hour"), 6000)

    def test_the_last_kills_are_the_last_wherever_they_lie(self):
        now = self.server.number("SELECT extract(epoch FROM now())::bigint")
        days = [200, 0, 100, 1, 40]
        for one in days:
            self.server.psql(f"SELECT scidex_make_partition(now() - interval '{one} days')")
            self.event(f"'{one}'", seconds=now - one * DAY, at=f"now() - interval '{one} days'")
        self.event("'default'", seconds=1, at="now() - interval '1 minute'")
        self.event("'clock ahead'", at="now() + interval '2 hours'")
        self.event("'no time'", at="NULL")
        (found,) = self.server.json("SELECT recent_events FROM watchdog_status")
        self.assertEqual([event["analysis_id"] for event in found["recent_events"]], ["0", "default", "1", "40", "100", "200"])
        self.assertEqual(self.server.psql("SELECT string_agg(analysis_id, ' ') FROM scidex_recent_kills(2)"), "0 default")
        self.assertEqual(self.server.psql("SELECT string_agg(analysis_id, ' ') FROM scidex_recent_kills(4)"), "0 default 1 40")

    def test_the_status_counts_what_it_says(self):
        self.server.psql("INSERT INTO watchdog_hosts (host, supervisor, heartbeat_at) VALUES ('a', 'system', now()), ('b', 'system', now() - interval '1 hour')")
        self.process(uuid7())
        self.process(uuid7(), host="b")
        self.server.psql("UPDATE watchdog_processes SET state = 'grace' WHERE host = 'a'")
        for at in ("now()", "now() - interval '10 minutes'", "now() - interval '25 hours'"):
            self.event("'SDA-1'", at=at)
        (found,) = self.server.json("SELECT * FROM watchdog_status")
        self.assertEqual(
            {key: found[key] for key in ("monitored_count", "grace_count", "silent_count", "hosts", "silent_hosts", "kills_last_24h", "kills_by_reason")},
            {"monitored_count": 2, "grace_count": 1, "silent_count": 1, "hosts": 2, "silent_hosts": 1, "kills_last_24h": 2, "kills_by_reason": {"memory": 2}},
        )  # fmt: skip
        self.assertEqual([event["analysis_id"] for event in found["recent_events"]], ["SDA-1"] * 3)
