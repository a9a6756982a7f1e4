"""Where the database is named, how a reload changes it, who gets to see the password, and rows that it refuses."""

import contextlib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from postgresserver import WAIT  # noqa: E402
from postgrestest import PostgresTest, migrate  # noqa: E402
from scidextest import eventually, is_alive  # noqa: E402

KILLED = ("--timeout", "50ms", "--grace", "5s", "--", "sleep", "1000")


class Configured(PostgresTest):
    def setUp(self):
        super().setUp()
        self.world = self.new_world()
        self.world.conninfo = ""  # nothing in the environment

    def configure(self, text):
        path = os.path.join(self.world.directory, "scidex", "supervisor.conf")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def begin(self, text, **options):
        """root's own would read /etc."""
        self.world.start_daemon("--config", self.configure(text), **options)

    def reload(self):
        os.kill(self.world.supervisor_pid(), signal.SIGHUP)

    def storage_kind(self):
        """None while one recorder takes the place of another."""
        try:
            return self.world.storage()["kind"]
        except OSError:
            return None

    def kill_one(self, analysis):
        result = self.world.run("--analysis-id", analysis, *KILLED)
        self.assert_status(result, 124)
        return result.run["run_id"]

    def test_the_configuration_names_it_and_a_reload_another(self):
        self.begin(f"[storage]\npostgres = {self.server.conninfo()}\n")
        self.assertEqual(self.world.storage()["kind"], "postgres")
        live = self.world.start("--analysis-id", "LIVE", "--", "sleep", "1000")
        self.kill_one("FIRST")
        self.world.wait_shipped()
        self.assertEqual(self.count("watchdog_events", "analysis_ref = 'FIRST'"), 1)

        self.server.drop_database("other")
        self.server.create_database("other")
        self.assertEqual(migrate(self.server.conninfo("other")).returncode, 0)
        before = self.world.recorder_pid()
        self.configure(f"[storage]\npostgres = {self.server.conninfo('other')}\n")
        self.reload()
        eventually(lambda: self.world.recorder_pid() not in (None, before), WAIT, "another recorder")
        self.kill_one("SECOND")
        self.world.wait_shipped()
        self.assertEqual(self.count("watchdog_events", "analysis_ref = 'SECOND'", database="other"), 1)
        self.assertEqual(self.count("watchdog_events", "analysis_ref = 'SECOND'"), 0)
        # Rows of what lives are written behind.
        eventually(lambda: self.count("watchdog_processes", "analysis_ref = 'LIVE'", database="other") == 1, WAIT, "it is said to live there")
        self.assertTrue(is_alive(live.main_pid()))

        self.configure("")
        self.reload()
        eventually(lambda: self.storage_kind() == "sqlite", WAIT, "no database any more")
        self.assertIsNone(self.world.storage()["postgres"])
        self.kill_one("THIRD")
        self.assertEqual(self.count("watchdog_events", "analysis_ref = 'THIRD'", database="other"), 0)
        self.assertEqual(len(self.world.events()), 3)
        for _ in range(2):
            live.signal(signal.SIGTERM)
        live.wait()

    def test_the_same_after_a_reload_is_the_same_recorder(self):
        self.begin(f"[storage]\npostgres = {self.server.conninfo()}\n")
        before = eventually(self.world.recorder_pid, WAIT)
        self.configure(f"[storage]\npostgres = {self.server.conninfo()}\n[limits]\nmemory = 1G\n")
        self.reload()
        eventually(lambda: self.world.run("--", "true").run["memory_limit_bytes"] == 1 << 30, WAIT, "the reload is done")
        self.assertEqual(self.world.recorder_pid(), before)

    def test_doctor_says_that_a_reload_is_missing(self):
        self.begin("")
        self.configure(f"[storage]\npostgres = {self.server.conninfo()}\n")
        (check,) = (check for check in self.world.ctl_json("doctor")["checks"] if check["name"].startswith("database"))
        self.assertEqual(check["status"], "warning")
        self.assertIn("reload", check["remedy"])

    def test_the_variable_wins(self):
        self.begin("[storage]\npostgres = host=/nonexistent\n", env={"SCIDEX_STORAGE_POSTGRES": self.server.conninfo()})
        self.assertEqual(self.world.wait_state("ok")["state"], "ok")

    def test_the_password_is_shown_to_nobody(self):
        self.begin(f"[storage]\npostgres = {self.server.conninfo()} password=sesame\n")
        self.kill_one("A")
        self.world.wait_shipped()
        shown = [str(self.world.storage()), str(self.world.status()), self.world.logs()]
        for arguments in (("doctor",), ("doctor", "--json"), ("list", "--all-hosts"), ("db", "status", "--json")):
            done = self.world.ctl(*arguments)
            shown += [done.stdout, done.stderr]
        for text in shown:
            self.assertNotIn("sesame", text)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    self.assertNotIn(b"sesame", file.read())

    def test_a_run_gets_nothing_of_it(self):
        self.begin(f"[storage]\npostgres = {self.server.conninfo()} password=sesame\n")
        result = self.world.run("--", "env")
        self.assertNotIn("sesame", str(result.stdout))

    def test_a_row_that_is_refused_is_told_and_sent_again_when_the_cause_is_mended(self):
        self.server.psql("ALTER TABLE watchdog_events ADD CONSTRAINT picky CHECK (analysis_ref <> 'BAD')")
        self.begin(f"[storage]\npostgres = {self.server.conninfo()}\n")
        run_id = self.kill_one("BAD")
        self.kill_one("GOOD")
        found = self.world.wait_shipped()
        self.assertEqual(found["dead_letters"], 1)
        self.assertEqual(self.count("watchdog_events"), 1)
        check = next(check for check in self.world.ctl_json("doctor")["checks"] if check["name"] == "database rows")
        self.assertEqual(check["status"], "warning")
        done = self.world.ctl("db", "dead")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("picky", done.stdout)
        with self.world.record_client() as client:
            (row,) = client.rows("dead")
        self.assertEqual((row["kind"], row["row"]["run_id"]), ("event", run_id))
        self.server.psql("ALTER TABLE watchdog_events DROP CONSTRAINT picky")
        done = self.world.ctl("db", "retry")
        self.assertEqual(done.returncode, 0, done.stderr)
        eventually(lambda: self.count("watchdog_events") == 2, WAIT, "it has arrived")
        self.assertEqual(self.world.wait_shipped()["dead_letters"], 0)
        checks = [check["name"] for check in self.world.ctl_json("doctor")["checks"]]
        self.assertNotIn("database rows", checks)
