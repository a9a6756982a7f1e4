"""The faults of the chaos run, one method each: what is done to a world, and to whom.

Called by chaosworld.py when the schedule says so. A method returns True when it has hit, which is counted and noted for
the model; False when there was nothing to hit, or it is tried again by itself; None when there may soon be something. The
hard thing is to hit nobody else: a pid is opened as a pidfd first, and only then asked whether its environment has the
mark of this world.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import time

from scidextest import process_comm, process_state, read_text, write_text

SUPERVISOR, RECORDER = "scidex-supervisor"[:15], "scidex-recorder"[:15]
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
AGAIN = 0.02
MS_RDONLY, MS_REMOUNT = 1, 32


def children(pid):
    return [int(word) for word in read_text(f"/proc/{pid}/task/{pid}/children", "").split()]


class Harm:
    """Of one ChaosWorld, which is CHAOS."""

    def __init__(self, chaos):
        self.chaos, self.world, self.calls = chaos, chaos.world, chaos.window
        self.stopped = []  # pidfds that are to go on at last
        self.opened = None  # the window: its program, its name, since when
        self.servers_down = 0

    # Whom

    def supervisors(self):
        return [pid for pid in children(os.getpid()) if process_comm(pid) == SUPERVISOR and process_state(pid) not in ("Z", None)]

    def recorders(self):
        parents = [os.getpid(), *self.supervisors()]
        return [pid for parent in parents for pid in children(parent) if process_comm(pid) == RECORDER and process_state(pid) not in ("Z", None)]

    def hit(self, pid, number):
        """Sends it if pid is of this world. Whether it was sent."""
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if self.world.mark.encode() not in self.environment_of(pid):
                return False
            signal.pidfd_send_signal(fd, number)
            if number == signal.SIGSTOP:
                self.stopped.append(os.dup(fd))
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    @staticmethod
    def environment_of(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
        return []

    def stop_for(self, pid, seconds):
        if not self.hit(pid, signal.SIGSTOP):
            return False
        fd = self.stopped[-1]

        def go_on():
            if fd in self.stopped:
                self.stopped.remove(fd)
                self.send_continue(fd)

        self.chaos.later(seconds, go_on)
        return True

    @staticmethod
    def send_continue(fd):
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(fd, signal.SIGCONT)
        os.close(fd)

    def kill_all(self, pids):
        return any([self.hit(pid, signal.SIGKILL) for pid in pids])

    # The daemons

    def supervisor_kill(self, **ignored):
        return self.kill_all(self.supervisors())

    def recorder_kill(self, **ignored):
        return self.kill_all(self.recorders())

    def both_kill(self, **ignored):
        supervisors, recorders = self.supervisors(), self.recorders()
        self.kill_all(supervisors)
        return self.kill_all(recorders)

    def supervisor_stop(self, seconds):
        return any([self.stop_for(pid, seconds) for pid in self.supervisors()])

    def recorder_stop(self, seconds):
        return any([self.stop_for(pid, seconds) for pid in self.recorders()])

    def recorder_stop_kill(self, **ignored):
        """It dies with what it was sent in the meantime, unread."""
        stopped = [pid for pid in self.recorders() if self.hit(pid, signal.SIGSTOP)]
        self.chaos.later(0.4, lambda: self.kill_all(stopped))
        return bool(stopped)

    def supervisor_and_launcher_kill(self, **ignored):
        """The launcher of a run that only that can end, while there is no supervisor: the next one must notice."""
        victim = next((one for one in self.chaos.started if one.may_lose_launcher()), None)
        if victim is None or not self.supervisor_kill():
            return None
        return self.launcher_kill(victim)

    # One run

    @staticmethod
    def lives(pid):
        return process_state(pid) not in ("Z", "X", None)

    def hit_or_again(self, pid, act):
        """In the middle of an exec it has no environment, and is not known as ours."""
        return act(pid) or (None if self.lives(pid) else False)

    def main_kill(self, one, seconds=0):
        pid = one.main_pid()
        return None if pid is None else self.hit_or_again(pid, lambda pid: self.hit(pid, signal.SIGKILL))

    def main_stop(self, one, seconds):
        pid = one.main_pid()
        return None if pid is None else self.hit_or_again(pid, lambda pid: self.stop_for(pid, seconds))

    def child_kill(self, one, seconds=0):
        main, directory = one.main_pid(), one.group()
        if main is None or directory is None or (one.kind.leaves and one.kind.ignores and not os.path.exists(one.mark + ".left")):
            return None
        pids = [int(word) for word in read_text(os.path.join(directory, "cgroup.procs"), "").split()]
        children = [pid for pid in pids if pid != main]
        return self.kill_all(children) or (None if any(self.lives(pid) for pid in children) else False)

    def launcher_kill(self, one, seconds=0):
        if one.main_pid() is None:
            return None
        one.launch.signal(signal.SIGKILL)
        one.note("launcher-kill")
        return True

    def launcher_term(self, one, seconds=0):
        if one.main_pid() is None:
            return None
        self.term_again(one)
        return True

    def term_again(self, one):
        """To one that ignores it until it ends: the first is passed on, another begins the kill. Two may arrive as one."""
        if one.is_over():
            return
        one.launch.signal(signal.SIGTERM)
        if one.kind.ignores:
            self.chaos.later(0.3, lambda: self.term_again(one))

    def launcher_stop(self, one, seconds):
        return self.hit_or_again(one.launch.pid, lambda pid: self.stop_for(pid, seconds))

    def group_kill(self, one, seconds=0):
        directory = one.group()
        if one.main_pid() is None or directory is None:
            return None
        try:
            write_text(os.path.join(directory, "cgroup.kill"), "1")
        except OSError:
            return False
        return True

    def group_remove(self, one, seconds=0):
        """As soon as it is empty: before the supervisor does it, if we are faster."""
        directory = one.group()
        if directory is None or self.lives(one.main_pid()):
            return None
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        return True

    def foreign_group(self, **ignored):
        path = os.path.join(self.world.tree, f"stranger {len(self.chaos.foreign)}")
        try:
            os.mkdir(path)
        except OSError:
            return False
        self.chaos.foreign.append(path)
        return True

    # What they stand on

    def disk_full(self, seconds):
        path = os.path.join(self.world.state, "fill")
        with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size) == size:
                        pass

        def empty():
            with contextlib.suppress(OSError):  # read-only by now: emptied at the end
                os.unlink(path)

        self.chaos.later(seconds, empty)
        return os.path.exists(path)

    def disk_read_only(self, seconds):
        """Only possible while nobody writes there, so its writers die first, and no launcher may start others meanwhile."""
        with open(self.world.socket + ".lock", "a", encoding="utf-8") as lock:
            end = time.monotonic() + 1
            done = False
            while not done and time.monotonic() < end:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.both_kill()
                    done = self.remount(MS_RDONLY)
                time.sleep(0.002)
        if done:
            self.chaos.later(seconds, lambda: self.remount(0))
        return done

    def remount(self, flags):
        return ctypes.CDLL(None).mount(None, self.world.state.encode(), None, MS_REMOUNT | flags, None) == 0

    def window(self, window, seconds):
        program, family, error, placed, one_in, left = window
        self.window_shut()
        self.calls.open(program, family, error, placed, one_in, left)
        self.opened = (program, f"window: {os.strerror(error)} in the {program} ({family}{', cgroupfs' if placed else ''})", time.monotonic())
        self.chaos.later(seconds, self.window_shut)
        return False  # counted by calls, when it is shut

    def window_shut(self):
        """Which run a call was made for is not known: it may be each that was there meanwhile."""
        if not self.opened:
            return
        program, name, since = self.opened
        self.opened = None
        failed = self.calls.close()
        self.chaos.count(name, failed)
        for one in self.chaos.started if failed else ():
            if one.ended is None or one.ended >= since:
                one.note(f"{program}-errors")

    def clock_jump(self, usec):
        self.calls.jump(usec)
        return True

    # PostgreSQL

    def postgres_stop(self, seconds):
        self.chaos.server.stop("immediate")
        self.chaos.later(seconds, lambda: self.chaos.server.runs() or self.chaos.server.start())
        return True

    def postgres_cut(self, seconds):
        return self.proxy("cut", seconds)

    def postgres_hang(self, seconds):
        return self.proxy("hang", seconds)

    def proxy(self, mode, seconds):
        self.chaos.proxy.set(mode, most_bytes=20_000)
        self.chaos.later(seconds, lambda: self.chaos.proxy.set("pass"))
        return True

    # The end of all of them

    def end_all(self):
        self.window_shut()
        while self.stopped:
            self.send_continue(self.stopped.pop())
        if self.chaos.schedule.disk:
            self.remount(0)
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.world.state, "fill"))
        if self.chaos.proxy:
            self.chaos.proxy.set("pass")
        if self.chaos.server and not self.chaos.server.runs():
            self.chaos.server.start()

    def reap(self):
        """Daemons, and what launchers left when they were killed."""
        known = self.chaos.known_pids()
        for pid in children(os.getpid()):
            comm = process_comm(pid)
            if pid in known or process_state(pid) != "Z":
                continue
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(pid, os.WNOHANG)
                if comm in (SUPERVISOR, RECORDER) and os.WIFSIGNALED(status) and os.WTERMSIG(status) in CRASHES:
                    self.chaos.find("crash", None, f"{comm} died of signal {os.WTERMSIG(status)}")
