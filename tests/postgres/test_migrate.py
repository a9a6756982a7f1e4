"""The tables: made once by however many ask, in nobody's way, and with no more rights than a recorder needs."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from postgrestest import PostgresTest, PsqlError, clean_environment, migrate, server_programs, uuid7  # noqa: E402
from scidextest import REPO, deadline, program, read_text  # noqa: E402

TABLES = ["scidex_schema", "watchdog_events", "watchdog_events_default", "watchdog_hosts", "watchdog_kills_by_hour", "watchdog_processes", "watchdog_runs"]
DAY = 24 * 3600


class MigrateTest(PostgresTest):
    MIGRATED = False

    def db(self, *arguments, user="postgres", status=0, **parameters):
        """scidexctl db …, as JSON."""
        environment = clean_environment(SCIDEX_STORAGE_POSTGRES=self.server.conninfo(user=user, **parameters), XDG_CONFIG_HOME="/nonexistent")
        done = subprocess.run(
            [program("scidexctl"), "db", *arguments, "--json"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=deadline(120),
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def status(self, **options):
        return self.db("status", **options)["database"]

    def tables(self, schema="public"):
        where = f"relnamespace = '{schema}'::regnamespace AND relkind IN ('r', 'p') AND relname !~ '_y20'"
        return [name for (name,) in self.server.rows(f"SELECT relname FROM pg_class WHERE {where} ORDER BY 1")]

    def role(self, name, *, member_of=None, options="LOGIN"):
        self.server.psql(f"CREATE ROLE {name} {options}", database="postgres")
        self.addCleanup(self.drop_role, name)
        if member_of:
            self.server.psql(f"GRANT {member_of} TO {name}", database="postgres")

    def drop_role(self, name):
        self.server.drop_database()
        self.server.psql(f"DROP ROLE IF EXISTS {name}", database="postgres")

    def refused(self, statement, word="permission denied", **options):
        with self.assertRaises(PsqlError) as caught:
            self.server.psql(statement, **options)
        self.assertIn(word, str(caught.exception))

    @contextlib.contextmanager
    def held(self, statement):
        """A transaction that has done STATEMENT and does not end."""
        holder = subprocess.Popen(
            [os.path.join(server_programs(), "psql"), "-X", "-q", "-A", "-t", self.server.conninfo()],
            env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        try:
            holder.stdin.write(f"BEGIN;\n{statement};\nSELECT 'held';\n")
            self.assertEqual(holder.stdout.readline(), "held\n")
            yield
        finally:
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()

    def event(self, reference="NULL", seconds=None, table="watchdog_events", at="now()"):
        event_id = uuid7(seconds)
        self.server.psql(
            f"INSERT INTO {table} (event_id, run_id, analysis_ref, analysis_id, reason, decided_at)"
            f" VALUES ('{event_id}', '{uuid7()}', {reference}, {reference}, 'memory', {at})"
        )
        return event_id


class Steps(MigrateTest):
    def test_a_database_without_tables_gets_them(self):
        before = self.status(status=1)
        self.assertEqual((before["state"], before["has_tables"]), ("schema", False))
        self.assertIn("scidexctl db migrate", before["hint"])
        report = self.db("migrate")
        self.assertEqual((report["was"], report["version"], report["applied"]), (0, 1, ["001-record"]))
        self.assertEqual(report["roles"], {"scidex_writer": "ok", "scidex_reader": "ok"})
        self.assertEqual(report["analyses"], {"state": "absent"})
        self.assertEqual(self.tables(), TABLES)
        after = self.status()
        self.assertEqual((after["state"], after["version"], after["latest"]), ("ok", 1, 1))
        self.assertEqual(after["partitions"]["count"], 3)
        self.assertIn("scidex ", after["steps"][0]["applied_by"])

    def test_the_second_time_nothing_is_to_be_done(self):
        self.db("migrate")
        before = self.server.psql("SELECT oid, xmin FROM pg_class WHERE relname ~ '^(watchdog|scidex)' ORDER BY oid")
        self.assertEqual(self.db("migrate")["applied"], [])
        # Grants are given anew, which leaves the tables what they are.
        self.assertEqual([line.split("\t")[0] for line in before.split("\n")], self.server.psql(
            "SELECT oid FROM pg_class WHERE relname ~ '^(watchdog|scidex)' ORDER BY oid").split("\n"))  # fmt: skip
        self.assertEqual(self.server.number("SELECT count(*) FROM scidex_schema"), 1)

    def test_three_hosts_at_once(self):
        for _ in range(5):
            self.server.drop_database()
            self.server.create_database()
            self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY)")
            done = []
            hosts = [threading.Thread(target=lambda: done.append(migrate(self.server.conninfo(), "--json"))) for _ in range(3)]
            for host in hosts:
                host.start()
            for host in hosts:
                host.join()
            self.assertEqual([one.returncode for one in done], [0, 0, 0], [one.stdout for one in done])
            reports = [json.loads(one.stdout) for one in done]
            self.assertEqual(sorted(report["applied"] for report in reports), [[], [], ["001-record"]])
            self.assertEqual({report["analyses"]["state"] for report in reports}, {"linked"})
            self.assertEqual(self.server.number("SELECT count(*) FROM scidex_schema"), 1)

    def test_a_step_that_fails_leaves_nothing(self):
        # A view of that name is none of the psutil watchdog's tables, and nothing that the step can make again.
        self.server.psql("CREATE FUNCTION scidex_event_id_at(at timestamptz) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'")
        error = self.db("migrate", status=3)["error"]
        self.assertEqual(error["sqlstate"], "42723")
        self.assertIn("rename or drop it", error["hint"])
        self.assertEqual(self.tables(), [])
        self.server.psql("DROP FUNCTION scidex_event_id_at")
        self.db("migrate")
        self.assertEqual(self.tables(), TABLES)

    def test_the_tables_of_the_psutil_watchdog_are_left_alone(self):
        self.server.psql(
            "CREATE TABLE watchdog_processes (pid integer PRIMARY KEY, analysis_id text, started_at timestamptz);"
            "CREATE TABLE watchdog_events (id serial PRIMARY KEY, pid integer, reason text);"
            "CREATE INDEX scidex_old ON watchdog_events (pid);"
            "INSERT INTO watchdog_events (pid, reason) VALUES (1, 'memory'), (2, 'timeout')"
        )
        error = self.db("migrate", status=3)["error"]
        self.assertEqual(error["state"], "schema")
        remedy = error["hint"]
        for table in ("watchdog_processes", "watchdog_events"):
            self.assertIn(f'ALTER TABLE "public".{table} RENAME TO {table}_psutil;', remedy)
        self.assertEqual(self.tables(), ["watchdog_events", "watchdog_processes"])
        # What is written there can be pasted as it is.
        self.server.psql(remedy.split(":", 1)[1])
        self.db("migrate")
        self.assertEqual(self.tables(), sorted(TABLES + ["watchdog_events_psutil", "watchdog_processes_psutil"]))
        self.assertEqual(self.server.number("SELECT count(*) FROM watchdog_events_psutil"), 2)

    def test_newer_tables_are_left_alone(self):
        self.db("migrate")
        self.server.psql("INSERT INTO scidex_schema (version, name, applied_by) VALUES (999, '999-later', 'a newer scidex')")
        error = self.db("migrate", status=3)["error"]
        self.assertEqual(error["state"], "schema")
        self.assertIn("999", error["message"])
        self.assertIn("upgrade", error["hint"])
        found = self.status(status=1)
        self.assertEqual((found["state"], found["version"], found["latest"]), ("schema", 999, 1))

    def test_a_table_that_was_renamed_is_named(self):
        self.db("migrate")
        for table in ("watchdog_runs", "watchdog_hosts"):
            self.server.psql(f"ALTER TABLE {table} RENAME TO gone")
            found = self.status(status=1)
            self.assertEqual(found["state"], "schema")
            self.assertIn(table, found["detail"])
            self.assertIn("rename it back", found["hint"])
            self.assertIn("rename it back", self.db("migrate", status=3)["error"]["hint"])
            self.server.psql(f"ALTER TABLE gone RENAME TO {table}")
            self.assertEqual(self.status()["state"], "ok")

    def test_another_schema_than_public(self):
        self.server.psql("CREATE SCHEMA \"Record's own\"; CREATE TABLE public.analyses (id text PRIMARY KEY); INSERT INTO analyses VALUES ('SDA-1')")
        self.role("keeper", options="LOGIN SUPERUSER")
        self.server.psql("ALTER ROLE keeper SET search_path = \"Record's own\", public")
        report = self.db("migrate", user="keeper")
        self.assertEqual((report["schema"], report["analyses"]["state"]), ("Record's own", "linked"))
        self.assertEqual(self.tables(), ["analyses"])
        self.assertEqual(self.server.psql("SELECT scidex_known_analyses(ARRAY['SDA-1', 'SDA-2'])", user="keeper"), "SDA-1")
        self.assertEqual(self.status(user="keeper")["state"], "ok")
        # Whose search path does not lead there is told where they are.
        self.assertIn("""ALTER ROLE postgres SET search_path = "Record's own", public""", self.status(status=1)["hint"])

    def test_settings_of_the_role_do_not_matter(self):
        self.role("odd", options="LOGIN SUPERUSER")
        self.server.psql(
            "ALTER ROLE odd SET default_transaction_isolation = 'serializable'; ALTER ROLE odd SET statement_timeout = '30s';"
            "ALTER ROLE odd SET standard_conforming_strings = off; ALTER ROLE odd SET timezone = 'Asia/Kathmandu'; ALTER ROLE odd SET datestyle = 'SQL, DMY'"
        )
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY)")
        done = []
        hosts = [threading.Thread(target=lambda: done.append(migrate(self.server.conninfo(user="odd")).returncode)) for _ in range(3)]
        for host in hosts:
            host.start()
        for host in hosts:
            host.join()
        self.assertEqual(done, [0, 0, 0])
        found = self.status(user="odd")
        self.assertEqual((found["state"], found["partitions"]["count"], found["analyses"]["state"]), ("ok", 3, "linked"))
        self.assertRegex(found["partitions"]["from_at"], "-01T00:00:00.000000Z$")
        self.db("retain", "400d", user="odd")

    def test_no_schema_to_put_them_into(self):
        self.role("homeless", options="LOGIN SUPERUSER")
        self.server.psql("ALTER ROLE homeless SET search_path = nowhere")
        error = self.db("migrate", user="homeless", status=3)["error"]
        self.assertEqual(error["state"], "schema")
        self.assertIn("CREATE SCHEMA", error["hint"])

    def test_who_may_not_create_is_told_so(self):
        self.role("guest")
        error = self.db("migrate", user="guest", status=4)["error"]
        self.assertEqual((error["code"], error["state"], error["sqlstate"]), ("denied", "denied", "42501"))
        self.assertIn("owner", error["hint"])
        self.assertEqual(self.tables(), [])

    def test_a_server_that_is_read_only(self):
        self.addCleanup(self.server.set_read_only, False)
        self.server.set_read_only(True)
        error = self.db("migrate", status=3)["error"]
        self.assertEqual((error["state"], error["sqlstate"]), ("read-only", "25006"))
        self.assertTrue(self.status(status=1)["read_only"])


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
        self.assertEqual(report["version"], 1)
        self.server.psql("CREATE ROLE scidex_writer NOLOGIN; CREATE ROLE scidex_reader NOLOGIN")
        self.assertEqual(self.db("migrate", user="plain")["roles"], {"scidex_writer": "ok", "scidex_reader": "ok"})
        self.server.psql("GRANT scidex_writer TO recorder")
        self.server.psql("SELECT scidex_make_partition(now())", user="recorder")


class Analyses(MigrateTest):
    MIGRATED = True

    def link(self, **options):
        found = self.db("migrate", **options)["analyses"]
        self.assertEqual(self.status(**options)["analyses"]["state"], found["state"])
        return found

    def linked(self):
        rows = self.server.rows("SELECT analysis_ref, coalesce(analysis_id, '-') FROM watchdog_events ORDER BY 1")
        return [tuple(row) for row in rows]

    def test_ids_that_are_unknown_go_before_the_key_comes(self):
        for one in ("SDA-1", "SDA-2", "gone"):
            self.event(f"'{one}'")
            self.event(f"'{one}'", seconds=1)  # in the default partition
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY, title text); INSERT INTO analyses VALUES ('SDA-1'), ('SDA-2')")
        self.assertEqual(self.status()["analyses"]["state"], "unlinked")
        self.assertEqual(self.link(), {"state": "linked", "table": "public.analyses"})
        self.assertEqual(self.linked(), [("SDA-1", "SDA-1")] * 2 + [("SDA-2", "SDA-2")] * 2 + [("gone", "-")] * 2)
        self.assertEqual(self.server.number("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated"), 0)
        self.server.psql("DELETE FROM analyses WHERE id = 'SDA-1'; UPDATE analyses SET id = 'SDA-9' WHERE id = 'SDA-2'")
        self.assertEqual(self.linked(), [("SDA-1", "-")] * 2 + [("SDA-2", "SDA-9")] * 2 + [("gone", "-")] * 2)
        self.assertEqual(self.link()["state"], "linked")
        self.assertEqual(self.linked()[2], ("SDA-2", "SDA-9"))

    def test_a_partition_made_later_has_the_key(self):
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY)")
        self.link()
        name = self.server.psql("SELECT scidex_make_partition(now() - interval '400 days')")
        self.assertEqual(self.server.number(f"SELECT count(*) FROM pg_constraint WHERE conrelid = '{name}'::regclass AND contype = 'f'"), 1)

    def test_text_by_other_names(self):
        for kind in ("varchar(4)", "char(12)", 'text COLLATE "C"', "words"):
            with self.subTest(kind):
                self.server.psql("DROP TABLE IF EXISTS analyses CASCADE; DROP DOMAIN IF EXISTS words; CREATE DOMAIN words AS varchar")
                self.server.psql(f"CREATE TABLE analyses (id {kind} PRIMARY KEY); INSERT INTO analyses VALUES ('SD-1')")
                self.assertEqual(self.link()["state"], "linked")
                # The second would be cut to the first by a cast to varchar(4).
                self.assertEqual(self.server.psql("SELECT scidex_known_analyses(ARRAY['SD-1', 'SD-10', NULL, 'SD-1'])"), "SD-1")

    def test_a_key_of_another_type_is_said_and_stops_nothing(self):
        for kind in ("integer", "uuid"):
            with self.subTest(kind):
                self.server.psql(f"DROP TABLE IF EXISTS analyses; CREATE TABLE analyses (id {kind} PRIMARY KEY)")
                found = self.link()
                self.assertEqual((found["state"], found["table"]), ("type", "public.analyses"))
                self.assertIn(kind, found["detail"])
        self.assertEqual(self.server.psql("SELECT scidex_known_analyses(ARRAY['7'])"), "7")

    def test_an_id_that_is_no_key(self):
        self.server.psql("CREATE TABLE analyses (id text)")
        found = self.link()
        self.assertEqual(found["state"], "key")
        self.server.psql(found["hint"].split(";")[0])
        self.assertEqual(self.link()["state"], "linked")
        self.server.psql("DROP TABLE analyses CASCADE; CREATE VIEW analyses AS SELECT 'a'::text AS id")
        self.assertEqual(self.link()["state"], "key")
        self.server.psql("DROP VIEW analyses; CREATE TABLE analyses (number integer PRIMARY KEY)")
        self.assertEqual(self.link()["state"], "key")

    def test_a_table_that_its_owner_does_not_share(self):
        self.server.drop_database()
        self.server.create_database()
        self.role("platform")
        self.role("keeper", options="LOGIN CREATEROLE")
        self.server.psql("GRANT CREATE ON SCHEMA public TO platform, keeper")
        self.server.psql("GRANT scidex_writer, scidex_reader TO keeper WITH ADMIN OPTION")
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY); INSERT INTO analyses VALUES ('SDA-1')", user="platform")
        found = self.link(user="keeper")
        self.assertEqual(found["state"], "denied")
        self.assertIn("TO keeper", found["hint"])
        # Also where another asks: it is not the recorder's role that lacks anything.
        self.role("recorder", member_of="scidex_writer")
        self.assertEqual(self.status(user="recorder")["analyses"], found)
        self.server.psql(found["hint"].split(": ", 1)[1].split(";")[0], user="platform")
        self.assertEqual(self.link(user="keeper")["state"], "linked")
        self.assertEqual(self.server.psql("SELECT scidex_known_analyses(ARRAY['SDA-1', 'x'])", user="keeper"), "SDA-1")

    def test_a_table_that_is_held_is_linked_the_next_time(self):
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY)")
        with self.held("LOCK TABLE analyses IN ROW EXCLUSIVE MODE"):
            self.assertEqual(self.db("migrate")["analyses"]["state"], "busy")
        self.assertEqual(self.link()["state"], "linked")

    def test_a_table_that_went_and_came_again(self):
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY); INSERT INTO analyses VALUES ('SDA-1')")
        self.link()
        self.event("'SDA-1'")
        self.server.psql("ALTER TABLE analyses RENAME TO studies; ALTER TABLE studies RENAME id TO key")
        self.assertEqual(self.server.psql("SELECT scidex_known_analyses(ARRAY['SDA-1', 'SDA-2'])"), "SDA-1")
        self.server.psql("DROP TABLE studies CASCADE")
        self.assertEqual(self.server.psql("SELECT count(*) FROM scidex_known_analyses(ARRAY['SDA-1', 'SDA-2'])"), "2")
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY)")
        self.assertEqual(self.link()["state"], "linked")
        self.assertEqual(self.linked(), [("SDA-1", "-")])


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
        for at in ("now() + interval '4 months'", "now() - interval '21 years'", "'infinity'", "'-infinity'", "NULL"):
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


class Document(MigrateTest):
    MIGRATED = True

    def drop_what_it_makes(self):
        self.server.drop_database()
        self.server.drop_database("scidex_record")
        self.server.psql("DROP ROLE IF EXISTS scidex_owner, scidex_host, platform", database="postgres")

    def test_every_statement_of_the_document_can_be_run(self):
        self.addCleanup(self.drop_what_it_makes)
        self.server.psql("CREATE TABLE analyses (id text PRIMARY KEY)")
        self.db("migrate")
        event_id = self.event("NULL")
        self.server.psql(
            "UPDATE watchdog_events SET event_id = '01a1a7d1-3f40-7c3e-9a55-0123456789ab', run_id = '01a1a7d1-3f40-7c3e-9a55-0123456789ab',"
            " analysis_ref = 'SDA-42', memory_peak_bytes = 1 << 30, memory_limit_bytes = 1 << 30,"
            """ timeline = '{"interval_sec": 1, "t_sec": [0, 1.5], "memory_bytes": [0, 4096], "cpu_sec": [0, 1]}'"""
            f" WHERE event_id = '{event_id}'; INSERT INTO analyses VALUES ('SDA-42')"
        )
        text = read_text(os.path.join(REPO, "docs/database.md"))
        blocks = re.findall(r"^```sql\n(.*?)^```$", text, re.M | re.S)
        self.assertGreater(len(blocks), 15)
        answers = {}
        for block in blocks:
            with self.subTest(block.split("\n")[0]):
                answers[block.split("\n")[0]] = self.server.psql(block)
        self.assertEqual(self.server.psql("SELECT analysis_id FROM watchdog_events"), "SDA-42")
        self.assertIn("100", answers["SELECT decided_at, host, reason, detail, duration_sec, memory_peak_bytes, memory_limit_bytes,"])
        self.assertTrue(answers["SELECT seq, reason, detail, decided_at, evidence, processes_killed, processes FROM watchdog_events"].endswith("0\t0\n1.5\t4096"))

    def test_every_column_stands_in_the_document(self):
        text = read_text(os.path.join(REPO, "docs/database.md"))
        columns = self.server.rows(
            "SELECT DISTINCT attname FROM pg_attribute WHERE attnum > 0 AND attrelid IN"
            " ('watchdog_events'::regclass, 'watchdog_runs'::regclass, 'watchdog_processes'::regclass, 'watchdog_hosts'::regclass, 'watchdog_status'::regclass)"
        )
        self.assertEqual([name for (name,) in columns if not re.search(rf'[`"( ]{name}[`" ,(]', text)], [])

    def test_the_index_that_is_promised_is_used(self):
        self.server.psql("INSERT INTO watchdog_runs (run_id, ended_at) SELECT gen_random_uuid(), now() - n * interval '1 minute' FROM generate_series(1, 20000) n")
        self.server.psql("ANALYZE watchdog_runs")
        plan = self.server.psql(
            "EXPLAIN SELECT run_id FROM watchdog_runs WHERE coalesce(ended_at, launched_at, stored_at) >= now() - interval '1 hour'"
            " ORDER BY coalesce(ended_at, launched_at, stored_at) DESC"
        )
        self.assertIn("scidex_runs_at", plan)


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
        for days in (0, 35, 420, 800):
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
        self.assertEqual(self.server.number("SELECT sum(kills) FROM watchdog_kills_24h"), self.count("watchdog_events", "decided_at >= now() - interval '24 hours'"))
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
