"""What the tests of postgres/ share: worlds that ship to a server of the test's own, and a fresh database for each test."""

import json
import shutil
import subprocess
import tempfile

from feeder import Feeder, wait_shipped, wait_state
from postgresserver import WAIT, CutProxy, Server, clean_environment
from scidextest import ScidexTest, World, deadline, program


class PostgresWorld(World):
    """A world whose supervisor ships to CONNINFO (changed: by the next supervisor)."""

    def __init__(self, conninfo=None, **options):
        self.conninfo = conninfo
        super().__init__(**options)

    def environment(self, **extra):
        if self.conninfo is not None:
            extra.setdefault("SCIDEX_STORAGE_POSTGRES", self.conninfo)
        return super().environment(**extra)

    def ctl(self, *arguments, **options):
        """scidexctl, waited for: the CompletedProcess."""
        options.setdefault("timeout", deadline(WAIT))
        return subprocess.run(
            [self.program("scidexctl"), *map(str, arguments)],
            env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip

    def ctl_json(self, *arguments):
        done = self.ctl(*arguments, "--json")
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            raise AssertionError(f"scidexctl {arguments}: status {done.returncode}, {done.stdout!r}, {done.stderr}") from error

    def postgres(self):
        """The `postgres` object of the recorder's storage; {} while no recorder answers."""
        try:
            return self.storage().get("postgres") or {}
        except OSError:
            return {}

    def wait_state(self, *states):
        return wait_state(self, self.logs, states)

    def wait_shipped(self, timeout=WAIT):
        return wait_shipped(self, self.logs, timeout)


def database_verb(conninfo, *words, timeout=120):
    """`scidexctl db WORDS`, as an admin does it: the CompletedProcess."""
    with tempfile.TemporaryDirectory(prefix="sx-", dir="/tmp") as place:
        environment = clean_environment(SCIDEX_STORAGE_POSTGRES=conninfo, XDG_RUNTIME_DIR=place, XDG_STATE_HOME=place, XDG_CONFIG_HOME=place, NO_COLOR="1")  # fmt: skip
        return subprocess.run(
            [program("scidexctl"), "db", *words],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=deadline(timeout),
        )  # fmt: skip


def migrate(conninfo, *arguments):
    return database_verb(conninfo, "migrate", *arguments)


class PostgresTest(ScidexTest):
    """Each class has one server; each test a fresh database in it, with our tables where MIGRATED says so."""

    MIGRATED = True
    HBA = ()
    SETTINGS = {}
    server = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.HBA, **cls.SETTINGS)
        cls.addClassCleanup(cls.server.remove)
        cls.server.start()

    def setUp(self):
        super().setUp()
        self.addCleanup(self.tell_of_the_server)
        if not self.server.runs():
            self.server.start()
        self.server.drop_database()
        self.server.create_database()
        if self.MIGRATED:
            self.migrate()

    def tell_of_the_server(self):
        """What a failure may come from."""
        if not self._outcome.success:
            lines = [line for line in self.server.log().splitlines() if "pg_isready" not in line]
            print("     the server's last words:\n" + "".join(f"     | {line[:300]}\n" for line in lines[-12:]), end="")

    def migrate(self, conninfo=None):
        done = migrate(conninfo or self.server.conninfo())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def proxy(self, **options):
        proxy = CutProxy(self.server, **options)
        self.addCleanup(proxy.close)
        return proxy

    def feeder(self, conninfo=None, **options):
        """A Feeder in a scratch directory, started; ended with the test."""
        place = tempfile.mkdtemp(prefix="sx-f-", dir="/tmp")
        self.addCleanup(shutil.rmtree, place, True)
        feeder = Feeder(place, conninfo or self.server.conninfo(), **options)
        self.addCleanup(feeder.remove)
        return feeder.start()

    def new_world(self, conninfo=None, **options):
        world = PostgresWorld(conninfo or self.server.conninfo(), **options)
        ScidexTest.worlds.append(world)
        if self.world is None:
            self.world = world
        return world

    def count(self, table, where="true", **options):
        return self.server.number(f"SELECT count(*) FROM {table} WHERE {where}", **options)
