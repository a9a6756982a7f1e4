"""The tables: made once by however many ask and in nobody's way, and their key to the platform's table."""

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from feeder import uuid7  # noqa: E402
from migratetest import TABLES, MigrateTest  # noqa: E402
from postgrestest import migrate  # noqa: E402
from scidextest import REPO  # noqa: E402

STEPS = ["001-record", "002-retain"]


class Steps(MigrateTest):
    def test_a_database_without_tables_gets_them(self):
        before = self.status(status=1)
        self.assertEqual((before["state"], before["has_tables"]), ("schema", False))
        self.assertIn("scidexctl db migrate", before["hint"])
        report = self.db("migrate")
        self.assertEqual((report["was"], report["version"], report["applied"]), (0, 2, STEPS))
        self.assertEqual(report["roles"], {"scidex_writer": "ok", "scidex_reader": "ok"})
        self.assertEqual(report["analyses"], {"state": "absent"})
        self.assertEqual(self.tables(), TABLES)
        after = self.status()
        self.assertEqual((after["state"], after["version"], after["latest"]), ("ok", 2, 2))
        self.assertEqual(after["partitions"]["count"], 3)
        self.assertIn("scidex ", after["steps"][0]["applied_by"])

    def test_the_second_time_nothing_is_to_be_done(self):
        self.db("migrate")
        before = self.server.psql("SELECT oid, xmin FROM pg_class WHERE relname ~ '^(watchdog|scidex)' ORDER BY oid")
        self.assertEqual(self.db("migrate")["applied"], [])
        # Grants are given anew, which leaves the tables what they are.
        self.assertEqual([line.split("\t")[0] for line in before.split("\n")], self.server.psql(
            "SELECT oid FROM pg_class WHERE relname ~ '^(watchdog|scidex)' ORDER BY oid").split("\n"))  # fmt: skip
        self.assertEqual(self.server.number("SELECT count(*) FROM scidex_schema"), len(STEPS))

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
            # Each step is a transaction of its own, so that two hosts may have made one each.
            self.assertEqual(sorted(step for report in reports for step in report["applied"]), STEPS)
            self.assertEqual({report["analyses"]["state"] for report in reports}, {"linked"})
            self.assertEqual(self.server.number("SELECT count(*) FROM scidex_schema"), len(STEPS))

    def test_tables_of_version_1_get_the_rest(self):
        with open(os.path.join(REPO, "db", "migrations", "001-record.sql"), encoding="ascii") as file:
            self.server.psql(f"SET search_path = public, pg_temp; {file.read()}")
        self.server.psql("INSERT INTO scidex_schema (version, name, applied_by) VALUES (1, '001-record', 'an older scidex')")
        self.event()
        self.server.psql(f"INSERT INTO watchdog_runs (run_id, ended_at) VALUES ('{uuid7()}', now() - interval '500 days'), ('{uuid7()}', now())")
        report = self.db("migrate")
        self.assertEqual((report["was"], report["version"], report["applied"]), (1, 2, STEPS[1:]))
        self.assertEqual(self.server.number("SELECT jsonb_array_length(recent_events) FROM watchdog_status"), 1)
        done = self.db("retain", "400d")
        self.assertEqual((done["partitions"], done["runs"]), (0, 1))
        self.assertEqual((self.count("watchdog_events"), self.count("watchdog_runs")), (1, 1))

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
        self.assertEqual((found["state"], found["version"], found["latest"]), ("schema", 999, 2))

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
