#!/usr/bin/python3
"""An analysis that hangs: a grid search whose worker waits for ever, and which left daemons behind.

Three things go wrong, each of them seen in the wild:
- a "monitor" is started as a classic daemon (fork, setsid, fork), so it is no child of this process any more and
  in no session with it: kill(1) on the process group does not reach it;
- the worker of the grid search takes the lock that guards the results, and waits for a result that it could only
  get with that lock free: a deadlock, no CPU is used;
- TERM is ignored ("don't lose my results"), so asking politely does not help.
Under scidex-run it ends at its time limit: TERM, grace, then KILL to the whole group, the daemons included.
"""
import os
import signal
import threading
import time

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

MONITORS = 2


def start_monitor():
    """Double fork: the grandchild is adopted by somebody else and lives on."""
    if os.fork() != 0:
        os.wait()
        return
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    while True:  # a monitor that nobody stops
        time.sleep(60)


def search(lock, ready):
    features, malignant = load_breast_cancer(return_X_y=True)
    grid = GridSearchCV(SVC(), {"C": [0.1, 1, 10]}, cv=3)
    grid.fit(features, malignant)
    with lock:
        print(f"best: C={grid.best_params_['C']}, accuracy {grid.best_score_:.3f}", flush=True)
        ready.wait()  # set by main, who needs the lock first


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(MONITORS):
        start_monitor()
    lock, ready = threading.Lock(), threading.Event()
    worker = threading.Thread(target=search, args=(lock, ready))
    worker.start()
    while not lock.locked():
        time.sleep(0.05)
    print("collecting the results", flush=True)
    with lock:  # never: the worker holds it and waits for us
        ready.set()
    worker.join()


if __name__ == "__main__":
    main()
