"""Crowds of processes to be ended, and the eyes that see it: shared by kill.py and orphans.py.

All times are CLOCK_REALTIME in seconds, as the record's are, and are taken by programs in C (kill-crowd, kill-watch,
kill-floor), since Python would be in the figures. The hard thing is that whoever looks must look before the end comes:
each crowd says that it is complete, and each watch that it is watching, before anything is ended.
"""

import contextlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import scidextest  # noqa: E402
from scidextest import cgroup_mount, eventually, helper, read_text, wait_readable, write_text  # noqa: E402

NANO = 1e9
LINE_SEC = 60  # guards against a hang only


def read_words(stream):
    """The next line of an unbuffered pipe, in words."""
    line = b""
    while not line.endswith(b"\n"):
        if not wait_readable(stream.fileno(), LINE_SEC):
            raise SystemExit(f"bench: nothing was said for {LINE_SEC} s")
        byte = os.read(stream.fileno(), 1)
        if not byte:
            raise SystemExit(f"bench: an end instead of a line: {line!r}")
        line += byte
    return line.decode().split()


def group_of(pid):
    """The directory of the cgroup (v2) that pid is in."""
    place = next(line[3:] for line in read_text(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::"))
    return cgroup_mount() + place


class Watch:
    """kill-watch on a group's directory or a pid."""

    def __init__(self, what):
        self.process = subprocess.Popen([helper("kill-watch"), str(what)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        read_words(self.process.stdout)

    def dead_at(self):
        (nanoseconds,) = read_words(self.process.stdout)
        self.process.stdout.close()
        self.process.wait()
        return int(nanoseconds) / NANO


def reap_all(pids):
    """Those of a raw crowd that lost their parent to us: dead already, not yet zombies all of them."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            eventually(lambda pid=pid: os.waitpid(pid, os.WNOHANG)[0] == pid, every=0.001)


# The kernel tells of a group's cgroup.events at most each 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV, kernel/cgroup/cgroup.c): of a
# crowd that has just come the end would be heard of that much late.
NOTIFY_SEC = 0.03


class RawCrowd:
    """A crowd in a group that nobody supervises. PREFIX: a program that executes it, as `timeout 1`; .executed: when."""

    def __init__(self, parent, processes, how, prefix=()):
        self.group = os.path.join(parent, f"raw-{os.getpid()}")
        os.mkdir(self.group)
        noted = (helper("kill-crowd"), "exec") if prefix else ()
        words = [*noted, *prefix, helper("kill-crowd"), str(processes), how]
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        self.process = subprocess.Popen(["sh", "-c", enter, self.group, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        self.executed = int(read_words(self.process.stdout)[1]) / NANO if prefix else None
        _, pid, started = read_words(self.process.stdout)
        self.pid, self.started = int(pid), int(started) / NANO

    def end_by(self, how):
        """kill-floor: when it began, when it was through, and when the last one was dead."""
        pids = scidextest.group_processes(self.group)
        watch = Watch(self.group)
        time.sleep(NOTIFY_SEC)
        done = subprocess.run([helper("kill-floor"), self.group, how], stdout=subprocess.PIPE, check=True)
        dead = watch.dead_at()
        begin, end = (int(word) / NANO for word in done.stdout.split())
        self.process.wait()
        reap_all(pid for pid in pids if pid != self.process.pid)
        self.remove()
        return begin, end, dead

    def remove(self):
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            write_text(os.path.join(self.group, "cgroup.kill"), "1")
        self.process.wait()
        eventually(lambda: remove_directory(self.group), 10)


def remove_directory(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


class SupervisedCrowd:
    """A crowd under scidex-run in a world whose supervisor runs. OPTIONS: of scidex-run."""

    def __init__(self, world, processes, how, *options, **more):
        self.world = world
        self.launch = world.start(*options, "--", helper("kill-crowd"), processes, how, **more)
        _, pid, started = read_words(self.launch.process.stdout)
        self.pid, self.started = int(pid), int(started) / NANO
        self.run_id = self.launch.run_id()

    def set_deadline(self, seconds):
        """That many seconds from now, however long the crowd took to come: the same timer as of --timeout."""
        run = self.world.show(self.run_id)
        with self.world.client() as client:
            client.call("set", run=self.run_id, timeout_usec=int((run["duration_sec"] + seconds) * 1e6))

    def event(self):
        (event,) = self.world.events(run=self.run_id)
        return {key: scidextest.parse_time(event[key]) if event[key] else None for key in ("deadline_at", "decided_at", "term_at", "kill_at", "empty_at")}
