"""What the rows are on the other side: analyses that come and go, text that is none, rows that the server refuses, and their order."""

import contextlib
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from feeder import uuid7  # noqa: E402
from postgresserver import WAIT, PsqlError  # noqa: E402
from postgrestest import PostgresTest  # noqa: E402
from scidextest import eventually  # noqa: E402

LINKED = ("watchdog_events", "watchdog_runs", "watchdog_processes")


class Rows(PostgresTest):
    def dead(self, feeder):
        return feeder.sql("SELECT key, sqlstate, message FROM dead_letters ORDER BY id")


class Analyses(Rows):
    MIGRATED = False

    def make_analyses(self, *ids, key="text"):
        self.server.psql(f"CREATE TABLE analyses (id {key} PRIMARY KEY, title text)")
        for one in ids:
            self.server.psql(f"INSERT INTO analyses VALUES ('{one}', 'of the platform')")

    def pair(self, table, run_id):
        (row,) = self.server.json(f"SELECT analysis_id, analysis_ref FROM {table} WHERE run_id = '{run_id}'")
        return row["analysis_id"], row["analysis_ref"]

    def feed(self, feeder, analysis_id):
        """A run alive and one that was killed, both of that analysis."""
        alive = feeder.alive(analysis_id=analysis_id)["run_id"]
        ended = feeder.ended(analysis_id=analysis_id)["run_id"]
        feeder.event(run_id=ended, analysis_id=analysis_id)
        feeder.settle()
        return {"watchdog_processes": alive, "watchdog_runs": ended, "watchdog_events": ended}

    def assert_pairs(self, run_ids, *pair):
        for table in LINKED:
            self.assertEqual(self.pair(table, run_ids[table]), pair, table)

    def test_without_such_a_table_the_id_is_kept_as_it_is(self):
        self.migrate()
        feeder = self.feeder()
        rows = self.feed(feeder, "SDA-1")
        none = self.feed(feeder, None)
        feeder.wait_shipped()
        self.assert_pairs(rows, "SDA-1", "SDA-1")
        self.assert_pairs(none, None, None)

    def test_an_analysis_deleted_leaves_its_name(self):
        self.make_analyses("SDA-1", "SDA-2")
        self.migrate()
        feeder = self.feeder()
        first, second = self.feed(feeder, "SDA-1"), self.feed(feeder, "SDA-2")
        feeder.wait_shipped()
        self.assert_pairs(first, "SDA-1", "SDA-1")
        self.server.psql("DELETE FROM analyses WHERE id = 'SDA-1'")
        self.assert_pairs(first, None, "SDA-1")
        self.assert_pairs(second, "SDA-2", "SDA-2")

    def test_an_unknown_analysis_is_stored_without_a_link(self):
        self.make_analyses("SDA-1")
        self.migrate()
        feeder = self.feeder()
        unknown, known = self.feed(feeder, "SDA-404"), self.feed(feeder, "SDA-1")
        feeder.wait_shipped()
        self.assert_pairs(unknown, None, "SDA-404")
        self.assert_pairs(known, "SDA-1", "SDA-1")
        self.assertEqual(feeder.postgres()["dead_letters"], 0)

    def test_a_table_that_comes_later_is_linked_and_left_as_it_is(self):
        self.migrate()
        feeder = self.feeder()
        known, unknown = self.feed(feeder, "SDA-1"), self.feed(feeder, "SDA-404")
        feeder.wait_shipped()
        self.make_analyses("SDA-1")
        before = self.server.rows("SELECT attname, atttypid, attnotnull FROM pg_attribute WHERE attrelid = 'analyses'::regclass ORDER BY attnum")
        # From now on what ships must not depend on whether anyone migrates.
        between = self.feed(feeder, "SDA-500")
        feeder.wait_shipped()
        self.migrate()
        self.assert_pairs(known, "SDA-1", "SDA-1")
        self.assert_pairs(unknown, None, "SDA-404")
        self.assert_pairs(between, None, "SDA-500")
        self.assertEqual(
            self.server.rows("SELECT attname, atttypid, attnotnull FROM pg_attribute WHERE attrelid = 'analyses'::regclass ORDER BY attnum"), before
        )
        after = self.feed(feeder, "SDA-404")
        feeder.wait_shipped()
        self.assert_pairs(after, None, "SDA-404")
        self.server.psql("DELETE FROM analyses")
        self.assert_pairs(known, None, "SDA-1")

    def test_a_table_that_goes_again_stops_nothing(self):
        self.make_analyses("SDA-1")
        self.migrate()
        feeder = self.feeder()
        feeder.wait_state("ok")
        self.server.psql("DROP TABLE analyses CASCADE")
        rows = self.feed(feeder, "SDA-9")
        feeder.wait_shipped()
        self.assert_pairs(rows, "SDA-9", "SDA-9")

    def test_a_key_of_another_type_stops_nothing(self):
        self.make_analyses(1, 2, key="integer")
        self.migrate()
        feeder = self.feeder()
        rows = self.feed(feeder, "SDA-1")
        feeder.wait_shipped()
        for table in LINKED:
            self.assertEqual(self.pair(table, rows[table])[1], "SDA-1")

    def test_analyses_deleted_while_their_rows_are_on_the_way(self):
        self.make_analyses()
        self.migrate()
        feeder = self.feeder()
        feeder.wait_state("ok")
        over = threading.Event()

        def come_and_go():
            while not over.is_set():
                with contextlib.suppress(PsqlError):
                    self.server.psql("INSERT INTO analyses SELECT 'SDA-' || n FROM generate_series(0, 9) n ON CONFLICT DO NOTHING")
                    self.server.psql("DELETE FROM analyses")

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            for index in range(2000):
                feeder.event(analysis_id=f"SDA-{index % 10}")
            feeder.settle()
            feeder.wait_shipped()
        finally:
            over.set()
            thread.join()
        self.assertEqual(self.count("watchdog_events"), 2000)
        self.assertEqual(self.count("watchdog_events", "analysis_ref LIKE 'SDA-_'"), 2000)
        self.assertEqual(feeder.postgres()["dead_letters"], 0)


class Text(Rows):
    def test_an_id_that_is_no_text_is_launched_and_shipped_escaped(self):
        world = self.new_world()
        world.start_daemon()
        done = subprocess.run(
            [world.program("scidex-run"), "--quiet", "--analysis-id", b"caf\xe9", "--timeout", "50ms", "--", "sh", "-c", "sleep 1000", b"caf\xe9"],
            env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        # Refused with a reason is as good as escaped: what is not allowed is a row that is lost.
        if done.returncode == 125:
            self.assertTrue(done.stderr)
            done = subprocess.run(
                [world.program("scidex-run"), "--quiet", "--timeout", "50ms", "--", "sh", "-c", "sleep 1000", b"caf\xe9"],
                env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
        eventually(world.events, WAIT)
        world.wait_shipped()
        self.assertEqual(self.count("watchdog_events"), 1)
        self.assertIn("caf", str(self.server.json("SELECT analysis_ref, cmdline FROM watchdog_events")))
        self.assertEqual(world.postgres()["dead_letters"], 0)

    def test_bytes_that_the_server_does_not_take_are_escaped_wherever_they_stand(self):
        feeder = self.feeder("host=/nonexistent")
        wrong = [feeder.event(analysis_id="SDA-1") for _ in range(3)]
        run = feeder.ended(analysis_id="SDA-1")
        right = feeder.event(analysis_id="SDA-1")
        feeder.stop()
        # As text of SQLite's may be: nothing there is checked.
        for row, column in zip(wrong, ("analysis_id", "comm", "detail")):
            feeder.sql(f"UPDATE watchdog_events SET {column} = CAST(x'6100ff62' AS TEXT) WHERE event_id = ?", row["event_id"])
        feeder.sql("UPDATE watchdog_runs SET analysis_id = CAST(x'6100ff62' AS TEXT), cmdline = CAST(x'c328' AS TEXT)")
        feeder.sql("UPDATE watchdog_events SET labels = '{\"a\":\"x\\u0000y\"}' WHERE event_id = ?", wrong[0]["event_id"])
        feeder.conninfo = self.server.conninfo()
        feeder.start()
        feeder.wait_shipped()
        self.assertEqual(self.dead(feeder), [])
        self.assertEqual(self.count("watchdog_events"), 4)
        self.assertEqual(self.count("watchdog_runs", f"run_id = '{run['run_id']}'"), 1)
        found = self.server.json("SELECT event_id, analysis_ref, comm, detail FROM watchdog_events")
        by_id = {row["event_id"]: row for row in found}
        for row, column in zip(wrong, ("analysis_ref", "comm", "detail")):
            text = by_id[row["event_id"]][column]
            self.assertTrue(text and text.startswith("a") and text.endswith("b"), text)
        self.assertEqual(by_id[right["event_id"]]["analysis_ref"], "SDA-1")


class Refused(Rows):
    def test_a_refused_row_is_set_aside_and_holds_up_no_other(self):
        self.server.psql("ALTER TABLE watchdog_events ADD CONSTRAINT no_bad CHECK (comm <> 'bad')")
        feeder = self.feeder("host=/nonexistent")
        rows = [feeder.event(comm="bad" if index in (5, 6, 400, 699) else "good") for index in range(700)]
        feeder.stop()
        feeder.conninfo = self.server.conninfo()
        feeder.start()
        found = feeder.wait_shipped()
        self.assertEqual(found["dead_letters"], 4)
        self.assertEqual(self.count("watchdog_events"), 696)
        dead = self.dead(feeder)
        self.assertEqual([key for key, _, _ in dead], [rows[index]["event_id"] for index in (5, 6, 400, 699)])
        for _, sqlstate, message in dead:
            self.assertEqual(sqlstate, "23514")
            self.assertIn("no_bad", message)
        # What comes behind them goes its way; the history has all of them.
        feeder.event()
        feeder.wait_shipped()
        self.assertEqual(self.count("watchdog_events"), 697)
        self.assertEqual(feeder.sql("SELECT count(*) FROM watchdog_events")[0][0], 701)

    def test_values_that_no_column_takes(self):
        feeder = self.feeder()
        rows = [
            feeder.event(run_id="no uuid at all"),
            feeder.event(decided_at="the day before yesterday, at noon"),
            feeder.event(event_id="neither"),
        ]
        good = feeder.event()
        feeder.settle()
        found = feeder.wait_shipped()
        self.assertEqual(found["dead_letters"] + self.count("watchdog_events"), len(rows) + 1)
        self.assertEqual(self.count("watchdog_events", f"event_id = '{good['event_id']}'"), 1)
        self.assertIn("neither", [key for key, _, _ in self.dead(feeder)])

    def test_they_are_shown_and_can_be_sent_again(self):
        self.server.psql("ALTER TABLE watchdog_events ADD CONSTRAINT no_sleep CHECK (comm <> 'sleep')")
        world = self.new_world()
        world.start_daemon()
        result = world.run("--timeout", "50ms", "--", "sleep", "1000")
        eventually(lambda: world.postgres().get("dead_letters") == 1, WAIT, "the row is set aside")
        check = next(check for check in world.ctl_json("doctor")["checks"] if check["name"] == "database rows")
        self.assertNotEqual(check["status"], "ok")
        self.assertRegex(check["why"], r"\b1\b")
        dead = world.ctl("db", "dead")
        self.assertEqual(dead.returncode, 0, dead.stderr)
        self.assertIn("no_sleep", dead.stdout)
        # Rows of runs are written behind: it comes after the event that was refused.
        eventually(lambda: self.count("watchdog_runs") == 1, WAIT, "its run is shipped")
        self.server.psql("ALTER TABLE watchdog_events DROP CONSTRAINT no_sleep")
        again = world.ctl("db", "retry")
        self.assertEqual(again.returncode, 0, again.stderr)
        eventually(lambda: self.count("watchdog_events", f"run_id = '{result.run['run_id']}'") == 1, WAIT, "it is shipped")
        world.wait_shipped()
        self.assertEqual(world.postgres()["dead_letters"], 0)


class Order(Rows):
    def test_a_run_is_alive_then_ended(self):
        feeder = self.feeder()
        feeder.wait_state("ok")
        run = feeder.alive()
        feeder.settle()
        feeder.wait_shipped()
        eventually(lambda: self.count("watchdog_processes", f"run_id = '{run['run_id']}'") == 1, WAIT)
        self.assertEqual(self.count("watchdog_runs"), 0)
        feeder.ended(run_id=run["run_id"], verdict="completed")
        feeder.settle()
        feeder.wait_shipped()
        self.assertEqual(self.count("watchdog_processes"), 0)
        self.assertEqual(self.count("watchdog_runs", "verdict = 'completed'"), 1)

    def test_the_events_of_a_run_have_their_numbers(self):
        feeder = self.feeder()
        feeder.wait_state("ok")
        run_ids = [uuid7() for _ in range(50)]
        for seq in range(1, 7):
            for run_id in run_ids:
                feeder.event(run_id=run_id, seq=seq)
            if seq == 3:
                self.server.restart("immediate")
        feeder.settle()
        feeder.wait_shipped()
        self.assertEqual(self.count("watchdog_events"), 300)
        self.assertEqual(
            self.server.rows("SELECT run_id FROM watchdog_events GROUP BY run_id HAVING min(seq) <> 1 OR max(seq) <> 6 OR count(DISTINCT seq) <> 6"), []
        )

    def test_processes_of_this_host_that_nobody_knows_any_more_are_closed(self):
        feeder = self.feeder()
        kept, gone = feeder.alive(), feeder.alive()
        feeder.settle()
        feeder.wait_shipped()
        self.assertEqual(self.count("watchdog_processes"), 2)
        self.server.psql(
            "INSERT INTO watchdog_processes SELECT (jsonb_populate_record(p, jsonb_build_object('run_id', gen_random_uuid(), 'host', 'elsewhere'))).* "
            "FROM watchdog_processes p LIMIT 1"
        )
        feeder.stop(kill=True)
        # Its end was never told to the server, and its history is lost too.
        feeder.sql("DELETE FROM watchdog_processes WHERE run_id = ?", gone["run_id"])
        feeder.sql("DELETE FROM outbox")
        feeder.start()
        eventually(lambda: self.count("watchdog_processes", f"run_id = '{gone['run_id']}'") == 0, WAIT, "the row is closed")
        self.assertEqual(self.count("watchdog_processes", f"run_id = '{kept['run_id']}'"), 1)
        self.assertEqual(self.count("watchdog_processes", "host = 'elsewhere'"), 1)
        self.assertEqual(self.count("watchdog_runs", f"run_id = '{gone['run_id']}' AND verdict = 'lost'"), 1)

    def test_events_of_many_months_find_their_partition(self):
        feeder = self.feeder()
        now = self.server.number("SELECT extract(epoch FROM now())::bigint")
        for months in range(-14, 2):
            feeder.event(event_id=uuid7(now + months * 30 * 86400))
        # Ids that are no sane time have a place too.
        feeder.event(event_id="00000000-0000-7000-8000-000000000001")
        feeder.event(event_id="ffffffff-ffff-7fff-bfff-ffffffffffff")
        feeder.settle()
        feeder.wait_shipped()
        self.assertEqual(self.count("watchdog_events"), 18)
        self.assertEqual(feeder.postgres()["dead_letters"], 0)

    def test_listeners_are_told_of_new_events(self):
        feeder = self.feeder()
        feeder.wait_state("ok")
        with self.server.listen("scidex_events") as heard:
            feeder.event()
            feeder.settle()
            feeder.wait_shipped()
            self.assertRegex(eventually(heard, WAIT, "a notification"), r'"count" ?: ?1')
