"""The server, the proxy and the faults that the other tests of this folder stand on: if these do not do what they say, those prove nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from postgresserver import DATABASE, PsqlError, Server, server_user  # noqa: E402
from postgrestest import PostgresTest  # noqa: E402
from scidextest import needs  # noqa: E402


class OwnServer(PostgresTest):
    MIGRATED = False

    def ask(self, proxy, statement):
        """psql with the proxy's socket; None where the connection was cut."""
        own, self.server.directory = self.server.directory, proxy.directory
        try:
            return self.server.psql(statement)
        except PsqlError:
            return None
        finally:
            self.server.directory = own

    def test_it_runs_as_an_unprivileged_user_on_a_socket_only(self):
        self.assertEqual(os.stat(f"/proc/{self.server.process.pid}").st_uid, server_user()[0])
        self.assertNotEqual(server_user()[0], 0)
        self.assertEqual(self.server.psql("SHOW listen_addresses"), "")

    def test_what_was_committed_outlives_an_immediate_stop(self):
        self.server.psql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
        self.server.restart("immediate")
        self.assertEqual(self.count("t"), 1000)

    def test_read_only_holds_for_everyone_and_ends(self):
        self.server.psql("CREATE TABLE t (n int)")
        self.server.set_read_only(True)
        with self.assertRaisesRegex(PsqlError, "read-only"):
            self.server.psql("INSERT INTO t VALUES (1)")
        self.server.set_read_only(False)
        self.server.psql("INSERT INTO t VALUES (1)")

    def test_the_proxy_passes_cuts_and_refuses(self):
        proxy = self.proxy(seed=4)
        question = f"SELECT '{'y' * 100000}' || repeat('x', 100000)"
        self.assertEqual(len(self.ask(proxy, question)), 200000)
        proxy.set("cut", most_bytes=50000)
        self.assertEqual([self.ask(proxy, question) for _ in range(5)], [None] * 5)
        self.assertEqual(proxy.cuts, 5)
        proxy.set("refuse")
        self.assertIsNone(self.ask(proxy, "SELECT 1"))
        proxy.set("pass")
        self.assertEqual(self.ask(proxy, "SELECT 1"), "1")

    @needs("root")
    def test_a_small_tablespace_fills_up_and_has_room_again(self):
        server = Server()
        self.addCleanup(server.remove)
        server.start()
        place = server.small_tablespace("64m")
        server.create_database(DATABASE, "TABLESPACE small")
        server.psql("CREATE TABLE t (n int, filler text)")
        fill = server.fill(place)
        insert = "INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 1000) n"
        with self.assertRaisesRegex(PsqlError, "No space left"):
            server.psql(insert)
        os.unlink(fill)
        server.psql(insert)
        self.assertEqual(server.number("SELECT count(*) FROM t"), 1000)
