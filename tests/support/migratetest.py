"""What the tests of the tables in PostgreSQL have in common: a database that is empty, and scidexctl db for it."""

import contextlib
import json
import os
import subprocess

from feeder import uuid7
from postgresserver import PsqlError, clean_environment, server_programs
from postgrestest import PostgresTest
from scidextest import deadline, program

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
