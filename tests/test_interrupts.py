"""Ctrl-C while processes are started, and after networks have gone."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pandacat.core.interrupts import ctrl_c_waits


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Whatever started the tests: a shell lets what it puts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


TWO_NETWORKS_COME_AND_GO = """
import signal, sys
from pathlib import Path
from pandacat.models.loading import load_classifier

names = ("pretrained", "scratch-photos")
networks = [load_classifier(name, models=Path(sys.argv[1]), engine="openvino") for name in names]
while networks:
    networks.pop(0)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("heard")
"""


def test_ctrl_c_is_heard_after_networks_have_come_and_gone(workspace: Path) -> None:
    command = [sys.executable, "-c", TWO_NETWORKS_COME_AND_GO, str(workspace / "models")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, "heard\n")
