"""The stopwatch for promises in seconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from awake import Awake

STOPPED = """
import os, signal, time
from awake import Awake
with Awake() as awake:
    os.kill(os.getpid(), signal.SIGSTOP)
    before = awake.seconds
    while awake.seconds == before:  # else it ends before it has counted on
        time.sleep(0.01)
print(awake.seconds)
"""


def test_it_counts_seconds():
    """What it counts is never more than has passed, and most of it where nothing is in the way."""
    for _ in range(20):  # a busy machine is in the way
        began = time.monotonic()
        with Awake() as awake:
            time.sleep(0.2)
        assert awake.seconds <= time.monotonic() - began
        if awake.seconds >= 0.15:
            break
    assert awake.seconds >= 0.15


def test_a_standstill_does_not_count():
    """Seconds in which the process is stopped are not counted."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", STOPPED], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(1)
        os.kill(process.pid, signal.SIGCONT)
        assert float(process.stdout.readline()) < 0.7
