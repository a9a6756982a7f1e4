"""Every statement of docs/database.md, run as it is printed."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from migratetest import MigrateTest  # noqa: E402
from scidextest import REPO, read_text  # noqa: E402


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
