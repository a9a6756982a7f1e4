"""What happens in a world of the chaos run, drawn from a seed: runs of several kinds, and faults that hit them.

Called by chaosworld.py, which carries it out, and by model.py, which judges what came of it. Pure: the same seed and number
give the same schedule, on any machine. Times are seconds from the beginning of the world, and of a run's own faults
from its start.
"""

import dataclasses
import errno
import random

RUNS = 25  # in each world
SECONDS = 4.0  # in which they are started and the faults fall

# What each command says: that it runs (and ignores TERM, if it is to), as which process, and for which run.
MARK = 'echo "$$ $SCIDEX_RUN_ID" >>"$MARK"; '


@dataclasses.dataclass(frozen=True)
class Kind:
    """One sort of run. NATURAL: (verdict, exit status of the launcher) where nothing of ours hits it; None: it goes on until something does.

    leaves: processes that outlive its main process, so that an event `orphan` is due. ignores: these, or the run, ignore TERM.
    children: its main process has some, so that they are left if only that is killed.
    """

    script: str
    natural: tuple
    options: tuple = ("--timeout", "60s")
    leaves: bool = False
    ignores: bool = False
    children: bool = False
    weight: int = 2


LIMITED = ("--timeout", "300ms", "--grace", "200ms")
PATIENT_SECONDS = 2.0

KINDS = {
    "completes": Kind(MARK + "sleep $DELAY; exit 0", ("completed", 0), children=True, weight=3),
    "fails": Kind(MARK + "sleep $DELAY; exit 7", ("failed", 7), children=True, weight=3),
    "crashes": Kind(MARK + "kill -SEGV $$", ("crashed", 139)),
    "times-out": Kind(MARK + "exec sleep 1000", ("timeout", 124), LIMITED, weight=4),
    "ignores-term": Kind("trap '' TERM; " + MARK + "exec sleep 1000", ("timeout", 124), LIMITED, ignores=True, weight=3),
    "patient": Kind(MARK + "exec sleep 1000", ("timeout", 124), ("--timeout", f"{PATIENT_SECONDS:g}s", "--grace", "200ms"), weight=1),
    "leaves": Kind(MARK + "setsid sleep 1000 & sleep $DELAY; exit 3", ("failed", 3), ("--timeout", "60s", "--grace", "200ms"), leaves=True, children=True, weight=3),
    "leaves-stubborn": Kind(
        MARK + "(trap '' TERM; echo >\"$MARK.left\"; exec setsid sleep 1000) & while [ ! -e \"$MARK.left\" ]; do sleep 0.02; done; exit 3",
        ("failed", 3), ("--timeout", "60s", "--grace", "200ms"), leaves=True, ignores=True, children=True, weight=3,
    ),
    "stays": Kind(MARK + "exec sleep 1000", None, ("--timeout", "60s", "--grace", "200ms"), weight=6),
    "stays-stubborn": Kind("trap '' TERM; " + MARK + "exec sleep 1000", None, ("--timeout", "60s", "--grace", "600ms"), ignores=True, weight=2),
    "grows": Kind(MARK + "exec \"$LEAKER\" anon 64 0", ("memory", 137), ("--timeout", "60s", "--grace", "200ms", "--memory", "16M"), weight=1),
    "nests": Kind(
        MARK + "\"$RUNNER\" --quiet --report \"$MARK.inner.json\" --analysis-id \"$NAME-inner\" --timeout 60s -- sh -c 'echo \"$$ $SCIDEX_RUN_ID\" >>\"$MARK.inner\"; exit 4'",
        ("failed", 4), children=True, weight=1,
    ),
    "registered": Kind("", ("timeout", None), weight=1),
}  # fmt: skip

# What ends a run that would stay; each of them leaves one verdict only.
FATAL = {"main-kill": "crashed", "group-kill": "crashed", "launcher-kill": "orphaned", "launcher-term": "cancelled", "cancel": "cancelled"}

# What may happen to one run, with its seconds where it passes.
HARMS = ("main-kill", "child-kill", "launcher-kill", "group-kill", "group-remove", "main-stop", "launcher-stop")


@dataclasses.dataclass
class Run:
    number: int
    kind_name: str
    name: str  # its analysis id: what it is known by whatever became of its launcher
    at: float
    delay: float
    faults: list  # (seconds after its start, what, seconds that it lasts)
    killed_in_grace: bool = False  # the supervisor, as soon as it has answered the cancel

    @property
    def kind(self):
        return KINDS[self.kind_name]


@dataclasses.dataclass
class Schedule:
    seed: int
    number: int
    flavour: str
    runs: list
    faults: list  # (at, what, parameters)
    disk: bool = False
    postgres: bool = False


# Of a window in which calls fail: program, family, numbers, whether only on cgroupfs, one in so many calls, how many.
WINDOWS = (
    ("supervisor", "fd", errno.EMFILE, False, 8, 4),
    ("supervisor", "memory", errno.ENOMEM, False, 300, 3),
    ("supervisor", "io", errno.EIO, True, 6, 4),
    ("supervisor", "group", errno.ENOSPC, True, 4, 3),
    ("supervisor", "fd", errno.EIO, True, 6, 4),
    ("recorder", "memory", errno.ENOMEM, False, 300, 3),
    ("recorder", "fd", errno.EMFILE, False, 4, 3),
    ("recorder", "disk", errno.ENOSPC, False, 6, 4),
    ("recorder", "disk", errno.EIO, False, 6, 4),
    ("launcher", "memory", errno.ENOMEM, False, 200, 3),
    ("launcher", "fd", errno.EMFILE, False, 6, 2),
)

# World faults of each flavour: how many of what, over its time.
FLAVOURS = {
    "kills": {"supervisor-kill": 5, "recorder-kill": 3, "both-kill": 2, "supervisor-and-launcher-kill": 2},
    "records": {"recorder-stop-kill": 4, "recorder-kill": 2, "both-kill": 1, "recorder-stop": 2},
    "stops": {"supervisor-stop": 3, "recorder-stop": 3, "supervisor-kill": 1},
    "disk": {"disk-full": 2, "disk-read-only": 2, "recorder-kill": 1, "supervisor-kill": 1},
    "errors": {"window": 8, "recorder-kill": 1},
    "groups": {"foreign-group": 3, "supervisor-kill": 3},
    "clock": {"clock-jump": 8, "supervisor-kill": 2, "recorder-kill": 1},
    "mixed": {"supervisor-kill": 2, "recorder-kill": 1, "supervisor-stop": 1, "recorder-stop-kill": 1, "clock-jump": 2, "disk-full": 1, "foreign-group": 1, "both-kill": 1},
    "postgres": {"postgres-stop": 1, "postgres-cut": 2, "postgres-hang": 1, "recorder-kill": 1, "supervisor-kill": 1},
}  # fmt: skip
ORDER = ("kills", "records", "errors", "stops", "disk", "groups", "kills", "clock", "errors", "mixed")
POSTGRES_EVERY = 20  # a server of its own costs seconds


def flavour_of(number):
    if number % POSTGRES_EVERY == POSTGRES_EVERY - 1:
        return "postgres"
    return ORDER[number % len(ORDER)]


def lasting(rng, what):
    """Seconds: mostly short; a launcher's backstop and the recorder's patience are 5 s."""
    if what.endswith("-stop") or what.startswith(("disk", "postgres")):
        return 6.5 if rng.random() < 0.03 else rng.uniform(0.1, 1.5)
    return 0.0


def ends_by_itself(kind):
    """And leaves nothing: its group may go as soon as it is empty."""
    return kind.natural and kind.natural[0] in ("completed", "failed", "crashed") and not kind.leaves


def make_run(rng, world, number, flavour):
    kind_name = rng.choices(list(KINDS), [kind.weight for kind in KINDS.values()])[0]
    if number == 0:
        kind_name = "patient"
    waits = number == 1 and flavour == "kills"  # for supervisor-and-launcher-kill, which needs one that nothing else has hit
    if waits:
        kind_name = "stays"
    kind = KINDS[kind_name]
    faults = []
    killed_in_grace = False
    if kind.natural is None:
        faults.append((SECONDS if waits else rng.uniform(0.1, 1.0), rng.choice(["cancel", "cancel", *FATAL]), 0.0))
        killed_in_grace = faults[0][1] == "cancel" and flavour in ("kills", "mixed") and kind.ignores
    elif kind_name != "registered" and rng.random() < 0.35 and number > 0:
        what = rng.choice([harm for harm in HARMS if harm != "group-remove" or ends_by_itself(kind)])
        faults.append((rng.uniform(0.0, 0.6), what, lasting(rng, what)))
    at = 0.0 if number == 0 or waits else rng.uniform(0.0, SECONDS)
    return Run(number, kind_name, f"w{world}-r{number}", at, rng.uniform(0.0, 0.5), faults, killed_in_grace)


def parameters_of(rng, what):
    if what == "window":
        return {"window": rng.choice(WINDOWS), "seconds": rng.uniform(0.3, 1.0)}
    if what == "clock-jump":
        return {"usec": int(rng.choice([-1, 1]) * 10 ** rng.uniform(5.5, 11.2))}
    return {"seconds": lasting(rng, what)}


def make(seed, number):
    """The schedule of one world."""
    rng = random.Random(f"{seed}/{number}")
    flavour = flavour_of(number)
    runs = [make_run(rng, number, index, flavour) for index in range(RUNS)]
    faults = []
    for what, count in FLAVOURS[flavour].items():
        faults += [(rng.uniform(0.2, SECONDS), what, parameters_of(rng, what)) for _ in range(count)]
    if flavour == "kills":  # within the time limit of the patient one, over which others are launched
        faults.append((PATIENT_SECONDS * 0.8, "supervisor-kill", {}))
    schedule = Schedule(seed, number, flavour, runs, sorted(faults, key=lambda fault: fault[0]))
    schedule.disk = any(what.startswith("disk") for _, what, _ in faults)
    schedule.postgres = flavour == "postgres"
    return schedule
