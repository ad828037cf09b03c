"""Ctrl-C while processes are started."""

import signal
import subprocess

import pytest

from pandacat.interrupts import ctrl_c_waits


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    done = []

    def work() -> None:
        with ctrl_c_waits():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_a_process_started_meanwhile_never_hears_it() -> None:
    with ctrl_c_waits():
        sleeper = subprocess.Popen(["sleep", "0.2"])
    sleeper.send_signal(signal.SIGINT)

    assert sleeper.wait() == 0
