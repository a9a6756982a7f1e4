"""What is seen over HTTP while the database is away, and when it is back: the truth, at once, from the local record."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from postgresserver import WAIT  # noqa: E402
from postgrestest import PostgresTest, PostgresWorld  # noqa: E402
from scidextest import ScidexTest, eventually  # noqa: E402
from statustest import StatusWorld, schema_errors  # noqa: E402

KILLED = ("--timeout", "200ms", "--", "sleep", "1000")


class SeenWorld(StatusWorld, PostgresWorld):
    pass


class Status(PostgresTest):
    def begin(self):
        world = SeenWorld(conninfo=self.server.conninfo())
        ScidexTest.worlds.append(world)
        self.world = world
        world.start_daemon()
        return world

    def wait_storage(self, world, **wanted):
        def found():
            storage = world.web.status()["storage"]
            return all(storage[name] == value for name, value in wanted.items()) and storage

        return eventually(found, WAIT, f"the status says {wanted}", every=0.1)

    def assert_documents(self, world, run_ids):
        pages = {"status.json": ["/api/quests/status"], "runs.json": ["/api/runs", "/api/runs?state=ended"], "events.json": ["/api/events"],
                 "run.json": [f"/api/runs/{run_id}" for run_id in run_ids]}  # fmt: skip
        for name, paths in pages.items():
            for path in paths:
                self.assertEqual(schema_errors(name, world.web.json(path)), [], path)
        with world.web.stream() as stream:
            self.assertEqual(schema_errors("stream-snapshot.json", stream.next().data), [])

    def test_all_documents_are_there_and_true_while_the_database_is_away(self):
        world = self.begin()
        self.wait_storage(world, kind="postgres", state="ok", postgres_state="ok")
        shipped = world.run(*KILLED).run["run_id"]
        world.wait_shipped()
        self.wait_storage(world, waiting=0)
        self.server.stop()
        kept = world.run(*KILLED).run["run_id"]
        living = world.start("--", "sleep", "1000")
        storage = self.wait_storage(world, postgres_state="away")
        self.assertEqual((storage["kind"], storage["state"]), ("postgres", "ok"))
        self.assertGreaterEqual(storage["waiting"], 1)
        eventually(lambda: world.web.status()["monitored_count"] == 1, 10, "the run is shown")
        self.assert_documents(world, [shipped, kept, living.run_id()])
        watchdog = world.web.status()
        self.assertEqual((watchdog["kills_last_24h"], watchdog["kills_by_reason"]["timeout"], watchdog["monitored_count"]), (2, 2, 1))
        self.assertEqual([event["run_id"] for event in watchdog["recent_events"]], [kept, shipped])
        self.assertEqual(world.web.ask("/healthz").status, 200)
        page = world.web.ask("/metrics").text
        self.assertIn('\nscidex_storage_state{store="postgres",state="away"} 1\n', page)
        self.assertIn('\nscidex_storage_state{store="postgres",state="ok"} 0\n', page)
        self.assertIn('\nscidex_storage_state{store="sqlite",state="ok"} 1\n', page)

        self.server.start()
        self.wait_storage(world, postgres_state="ok", waiting=0)
        self.assertEqual(self.count("watchdog_events"), 2)
        world.kill(living.run_id())
        living.wait()

    def test_rows_that_the_database_refuses_are_counted(self):
        self.server.psql("ALTER TABLE watchdog_events ADD CHECK (reason <> 'timeout')")
        world = self.begin()
        self.wait_storage(world, postgres_state="ok")
        world.run(*KILLED)
        self.wait_storage(world, dead_letters=1, waiting=0)
        eventually(lambda: "\nscidex_storage_dead_letter_rows 1\n" in world.web.ask("/metrics").text, 10, "the metrics say so, too")


if __name__ == "__main__":
    import unittest

    unittest.main()
