"""What is wrong with the database is said in one word, everywhere the same; kills are as quick as without one, and what waited arrives.

Latency is compared, never asserted in seconds: each world with a broken database takes turns with one that has none.
"""

import os
import shutil
import socket
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from feeder import multiply_event  # noqa: E402
from postgresserver import WAIT, Server  # noqa: E402
from postgrestest import PostgresTest  # noqa: E402
from scidextest import BUILD, ScidexTest, World, eventually, needs, skip, wait_readable, write_text  # noqa: E402

LIMIT = 0.05
KILLED = ("--timeout", "50ms", "--grace", "5s", "--", "sleep", "1000")
ROUNDS = 9
BACKLOG = 40_000


class States(PostgresTest):
    MIGRATED = False

    def begin(self, conninfo=None, **options):
        world = self.new_world(conninfo)
        world.start_daemon(**options)
        return world

    def assert_told(self, world, state, pattern):
        """The recorder, the supervisor's status and doctor say the same."""
        found = world.wait_state(state)
        self.assertRegex(found["detail"] or "", pattern)
        self.assertTrue(found["hint"], found)
        eventually(lambda: (world.status()["storage"].get("postgres") or {}).get("state") == state, WAIT, f"the status says {state}")
        check = self.doctor(world)
        self.assertNotEqual(check["status"], "ok", check)
        self.assertRegex(check["why"], pattern)
        self.assertTrue(check["remedy"], check)
        return found

    def doctor(self, world):
        checks = world.ctl_json("doctor")["checks"]
        return next(check for check in checks if check["name"] == "database")

    def assert_kills_as_without(self, world, rounds=ROUNDS):
        """In turns with a world that has no database. Returns what was killed in WORLD."""
        control = World()
        ScidexTest.worlds.append(control)
        control.start_daemon()
        latency = {world: [], control: []}
        results = []
        for _ in range(rounds):
            for one in (world, control):
                result = one.run(*KILLED)
                self.assert_status(result, 124)
                latency[one].append(result.run["duration_sec"] - LIMIT)
                results += [result.run["run_id"]] if one is world else []
        # A median of two would be their mean: one slow round would decide.
        typical = statistics.median if rounds >= 5 else min
        broken, plain = (typical(latency[one]) * 1000 for one in (world, control))
        print(f"     kill latency, {typical.__name__} of {rounds}: {broken:.2f} ms here, {plain:.2f} ms without a database")
        self.assertLess(broken, 3 * plain + 50)
        return results

    def assert_arrives(self, world, run_ids):
        world.wait_shipped()
        for run_id in run_ids:
            self.assertEqual(self.count("watchdog_events", f"run_id = '{run_id}'"), 1)
            self.assertEqual(self.count("watchdog_runs", f"run_id = '{run_id}'"), 1)

    def test_away_at_the_start(self):
        self.migrate()
        self.server.stop()
        world = self.begin()
        run_ids = self.assert_kills_as_without(world)
        found = self.assert_told(world, "away", "(?i)no such file|refused|is the server running")
        self.assertGreaterEqual(found["waiting"], len(run_ids))
        self.server.start()
        self.assert_arrives(world, run_ids)
        self.assertEqual(self.doctor(world)["status"], "ok")

    @needs("root")
    def test_a_name_that_never_resolves(self):
        self.migrate()
        # A name server that takes questions and has no answer; at an address where nobody else listens.
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        try:
            silent.bind(("127.77.77.77", 53))
        except OSError as error:
            skip(f"port 53 of 127.77.77.77: {error}")
        with tempfile.NamedTemporaryFile("w", prefix="sx-resolv-") as file:
            file.write("nameserver 127.77.77.77\n")
            file.flush()
            os.chmod(file.name, 0o644)
            # Names by DNS only, whatever else this machine asks.
            with tempfile.NamedTemporaryFile("w", prefix="sx-nsswitch-") as switch:
                switch.write("hosts: files dns\npasswd: files\ngroup: files\n")
                switch.flush()
                os.chmod(switch.name, 0o644)
                script = 'mount --bind "$0" /etc/resolv.conf && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'
                prefix = ("unshare", "--mount", "sh", "-c", script, file.name, switch.name)
                world = self.begin("host=db.scidex.invalid dbname=scidex user=postgres", prefix=prefix)
                self.assertTrue(wait_readable(silent.fileno(), WAIT), "the name is asked for")
                # In the midst of it the recorder answers, and takes what is killed.
                begin = time.monotonic()
                self.assertEqual(world.postgres().get("state"), "connecting")
                self.assert_kills_as_without(world)
                self.assertEqual(len(world.events()), ROUNDS)
                print(f"     while the name is being resolved: {time.monotonic() - begin:.1f} s, {world.postgres()['state']}")
                self.assert_told(world, "away", "(?i)translate host name|resolution|resolve")

    def test_a_wrong_password(self):
        server = Server(hba=("local all guarded scram-sha-256",))
        self.addCleanup(server.remove)
        server.start()
        server.create_database()
        server.psql("CREATE ROLE guarded LOGIN PASSWORD 'the-true-one'")
        world = self.begin(server.conninfo(user="guarded", password="quite-wrong-4711"))
        self.assert_kills_as_without(world)
        found = self.assert_told(world, "denied", "(?i)password authentication failed")
        told = world.logs() + world.ctl("doctor").stdout + str(found) + str(world.status())
        self.assertNotIn("quite-wrong-4711", told)
        for pid in (world.supervisor_pid(), world.recorder_pid()):
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                self.assertNotIn("quite-wrong-4711", file.read())

    def test_no_tables_until_they_are_made(self):
        world = self.begin()
        run_ids = self.assert_kills_as_without(world)
        self.assert_told(world, "schema", "(?i)scidex|watchdog|table|migrate")
        self.migrate()
        self.assert_arrives(world, run_ids)

    def test_no_such_database(self):
        world = self.begin(self.server.conninfo(database="nowhere"))
        self.assert_kills_as_without(world)
        self.assert_told(world, "schema", "nowhere")

    def test_a_schema_newer_than_the_program(self):
        self.migrate()
        self.server.psql("INSERT INTO scidex_schema (version, name, applied_by) VALUES (999, 'of tomorrow', 'a test')")
        world = self.begin()
        run_ids = self.assert_kills_as_without(world)
        self.assert_told(world, "schema", "999|newer")
        self.assertEqual(self.count("watchdog_events"), 0)
        self.server.psql("DELETE FROM scidex_schema WHERE version = 999")
        self.assert_arrives(world, run_ids)

    def test_no_privileges(self):
        self.migrate()
        self.server.psql("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
        world = self.begin(self.server.conninfo(user="stranger"))
        self.assert_told(world, "denied", "(?i)permission denied")
        run_ids = self.assert_kills_as_without(world)
        self.server.psql("GRANT scidex_writer TO stranger")
        self.assert_arrives(world, run_ids)

    def test_the_writer_role_is_enough(self):
        self.migrate()
        self.server.psql("DROP ROLE IF EXISTS shipper; CREATE ROLE shipper LOGIN IN ROLE scidex_writer")
        world = self.begin(self.server.conninfo(user="shipper"))
        run_ids = self.assert_kills_as_without(world)
        self.assert_arrives(world, run_ids)

    def test_too_many_connections(self):
        self.migrate()
        self.server.psql("DROP ROLE IF EXISTS crowd; CREATE ROLE crowd LOGIN CONNECTION LIMIT 0 IN ROLE scidex_writer")
        world = self.begin(self.server.conninfo(user="crowd"))
        run_ids = self.assert_kills_as_without(world)
        self.assert_told(world, "away", "(?i)too many connections")
        self.server.psql("ALTER ROLE crowd CONNECTION LIMIT 5")
        self.assert_arrives(world, run_ids)

    def test_read_only(self):
        self.migrate()
        self.server.set_read_only(True)
        self.addCleanup(self.server.set_read_only, False)
        world = self.begin()
        run_ids = self.assert_kills_as_without(world)
        self.assert_told(world, "read-only", "(?i)read-only")
        self.server.set_read_only(False)
        self.assert_arrives(world, run_ids)

    def test_a_server_that_says_nothing(self):
        self.migrate()
        proxy = self.proxy()
        proxy.set("hang")
        world = self.begin(self.server.conninfo(directory=proxy.directory, connect_timeout=2))
        run_ids = self.assert_kills_as_without(world)
        self.assert_told(world, "away", "does not answer")
        proxy.set("pass")
        self.assert_arrives(world, run_ids)

    def test_a_server_that_falls_silent_while_rows_come(self):
        self.migrate()
        proxy = self.proxy()
        world = self.begin(self.server.conninfo(directory=proxy.directory))
        world.wait_state("ok")
        proxy.set("hang")
        run_ids = self.assert_kills_as_without(world)
        self.assertEqual(len(world.events()), len(run_ids))
        self.assertGreaterEqual(world.postgres()["waiting"], len(run_ids))
        proxy.set("pass")
        self.assert_arrives(world, run_ids)

    def test_the_disk_of_the_record_hangs(self):
        self.migrate()
        world = self.new_world()
        hung = os.path.join(world.directory, "hung")
        world.start_daemon(env={"LD_PRELOAD": os.path.join(BUILD, "tests", "postgres", "hang.so"), "SCIDEX_TEST_HANG": hung})
        world.wait_state("ok")
        write_text(hung, "")
        try:
            # The kill is in time, but what a launcher says it has recorded is waited for.
            run_ids = self.assert_kills_as_without(world, rounds=2)
            self.assertGreaterEqual(world.status()["unrecorded"], len(run_ids))
            self.assertEqual(self.count("watchdog_events"), 0)
            # The recorder can't answer, and that is said.
            check = next(check for check in world.ctl_json("doctor")["checks"] if check["name"] == "record")
            self.assertNotEqual(check["status"], "ok", check)
        finally:
            os.unlink(hung)
        eventually(lambda: world.status()["unrecorded"] == 0, WAIT, "the record is written")
        self.assert_arrives(world, run_ids)

    def test_a_backlog_on_its_way(self):
        self.migrate()
        feeder = self.feeder("host=/nonexistent")
        feeder.event()
        feeder.stop()
        spool = os.path.join(feeder.directory, "spool")
        multiply_event(os.path.join(spool, "spool.sqlite"), BACKLOG)
        world = self.new_world()
        shutil.copytree(spool, os.path.join(world.state, "scidex"))
        world.start_daemon()
        world.wait_state("ok")
        before = world.postgres()["waiting"]
        run_ids = self.assert_kills_as_without(world)
        print(f"     waiting before and after: {before}, {world.postgres()['waiting']}")
        self.assert_arrives(world, run_ids)
        self.assertEqual(self.count("watchdog_events"), BACKLOG + len(run_ids))

    def test_an_installation_without_libpq_says_so_and_keeps_the_rows(self):
        self.migrate()
        world = self.new_world()
        world.copy_programs()
        program = os.path.join(world.programs, "scidex-recorder-full")
        os.rename(program, program + ".away")
        world.start_daemon()
        run_ids = self.assert_kills_as_without(world)
        self.assertNotEqual(world.postgres().get("state"), "ok")
        self.assertEqual(len(world.events()), len(run_ids))
        os.rename(program + ".away", program)
        world.stop_supervisor()
        world.start_daemon()
        self.assert_arrives(world, run_ids)

    def test_a_password_by_file(self):
        server = Server(hba=("local all guarded scram-sha-256",))
        self.addCleanup(server.remove)
        server.start()
        server.create_database()
        self.migrate(server.conninfo())
        server.psql("CREATE ROLE guarded LOGIN PASSWORD 'the-true-one' IN ROLE scidex_writer")
        world = self.new_world()
        passwords = os.path.join(world.directory, "passwords")
        with open(passwords, "w", encoding="utf-8") as file:
            file.write("*:*:*:guarded:the-true-one\n")
        os.chmod(passwords, 0o600)
        world.conninfo = server.conninfo(user="guarded", passfile=passwords)
        world.start_daemon()
        world.wait_state("ok")
        world.run(*KILLED)
        world.wait_shipped()
        self.assertEqual(server.number("SELECT count(*) FROM watchdog_events"), 1)

    def test_a_password_by_credential(self):
        server = Server(hba=("local all guarded scram-sha-256",))
        self.addCleanup(server.remove)
        server.start()
        server.create_database()
        self.migrate(server.conninfo())
        server.psql("CREATE ROLE guarded LOGIN PASSWORD 'by credential' IN ROLE scidex_writer")
        world = self.new_world(server.conninfo(user="guarded"))
        credentials = os.path.join(world.directory, "credentials")
        os.mkdir(credentials, 0o700)
        with open(os.path.join(credentials, "postgres.password"), "w", encoding="utf-8") as file:
            file.write("by credential\n")
        world.start_daemon(env={"CREDENTIALS_DIRECTORY": credentials})
        world.wait_state("ok")
