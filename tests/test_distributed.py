"""Several processes train one network: as one process would, and the same bits every time."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from bar_pictures import bar_data
from conftest import ROOT
from distributed_worker import fine_tuned, trained

from pandacat.core.errors import PandacatError
from pandacat.core.stage import run
from pandacat.training import distributed
from pandacat.training.batches import Examples
from pandacat.training.checkpoint import checkpoint_key
from pandacat.training.distributed import join_processes, own_rows, require_same, summed

TWO_PROCESSES = {"PANDACAT_TORCHRUN": "--nproc-per-node 2", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Trainings:
    """What two processes trained in a folder: until one was killed, and after."""

    folder: Path
    killed: subprocess.CompletedProcess[str]
    resumed: subprocess.CompletedProcess[str]

    def result(self, name: str) -> dict[str, Any]:
        result: dict[str, Any] = torch.load(self.folder / f"{name}.pt", weights_only=True)
        return result


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    folder = tmp_path_factory.mktemp("distributed")
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT)))

    def run_worker(part: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "pandacat.core.stage",
             ROOT / "tests/distributed_worker.py", part],
            env=os.environ | TWO_PROCESSES | {"PYTHONPATH": path},
            cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return Trainings(folder, run_worker("begin"), run_worker("go on"))


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process look like the second of two, which torchrun started."""
    of_torchrun = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1"}
    for name, value in (of_torchrun | {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).items():
        monkeypatch.setenv(name, value)


def assert_same_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["epochs"] == other["epochs"]
    for name, tensor in one["weights"].items():
        assert torch.equal(tensor, other["weights"][name]), name


def assert_nearly_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, tensor in one["weights"].items():
        torch.testing.assert_close(tensor, other["weights"][name], rtol=0, atol=1e-4)
    losses = (
        [record["metrics"]["validation_loss"] for record in result["epochs"]]
        for result in (one, other)
    )
    assert next(losses) == pytest.approx(next(losses), abs=1e-5)
    assert one["epochs"][-1]["train_loss"] == pytest.approx(other["epochs"][-1]["train_loss"], 1e-4)


def test_two_processes_train_what_one_would(trainings: Trainings) -> None:
    """With augmentation, mixup, dropout and batch normalization, and unequal numbers of rows."""
    assert_nearly_the_same(trainings.result("one-epoch"), trained(epochs=1))


def test_two_processes_fine_tune_a_network_as_one_would(trainings: Trainings) -> None:
    assert_nearly_the_same(trainings.result("fine-tuned"), fine_tuned())


def test_two_processes_give_the_same_bits_again(trainings: Trainings) -> None:
    assert_same_bits(trainings.result("one-epoch"), trainings.result("one-epoch-again"))


def test_a_training_of_which_a_process_was_killed_resumes_to_the_same_bits(
    trainings: Trainings,
) -> None:
    assert trainings.killed.returncode == 1
    assert "Traceback" not in trainings.killed.stderr
    last = trainings.killed.stderr.splitlines()[-1]
    assert last.startswith("error: Process 0 of this training was ended (SIGKILL)"), last
    assert last.endswith("The same command resumes after the last complete epoch.")
    assert "resumed after epoch 1/3" in trainings.resumed.stderr
    assert_same_bits(trainings.result("resumed"), trainings.result("whole"))


def test_the_first_process_alone_prints_writes_and_tracks(trainings: Trainings) -> None:
    assert trainings.resumed.stderr.count("epoch 1/1 ") == 1
    assert (trainings.folder / "models/scratch-mnist/weights.safetensors").is_file()
    assert len([*(trainings.folder / ".pandacat/tracking").iterdir()]) == 1


def test_a_batch_too_small_for_so_many_processes_is_a_sentence(trainings: Trainings) -> None:
    assert trainings.resumed.returncode == 1
    assert "Traceback" not in trainings.resumed.stderr
    assert (
        "A batch of 2 is too small for 2 processes: set batch_size to at least 8 in params.yaml, "
        "or start fewer processes." in trainings.resumed.stderr
    )


@pytest.mark.parametrize("count", [3, 4, 5, 31, 32])
def test_each_row_belongs_to_one_process_and_so_do_those_that_mixup_blends(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None, count: int
) -> None:
    parts = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        parts.append(own_rows(count).tolist())
    assert sorted(parts[0] + parts[1]) == [*range(count)]
    for part in parts:
        assert [count - 1 - row for row in reversed(part)] == part
    assert 0 < len(parts[1]) <= len(parts[0]) <= len(parts[1]) + 3


def test_the_batch_size_that_is_advised_is_large_enough(second_of_two: None) -> None:
    """Batches of an epoch have nearly equal sizes, down to half of `batch_size`."""
    with pytest.raises(PandacatError, match="at least 8 in"):
        own_rows(2)
    for photos in range(8, 40):
        examples = Examples(torch.zeros(photos, 1), torch.zeros(photos))
        for batch in torch.arange(photos).tensor_split(examples.batch_count(8)):
            assert len(own_rows(len(batch))) >= 1


def test_a_checkpoint_belongs_to_a_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None
) -> None:
    keys = set()
    for count in ("1", "2", "3"):
        monkeypatch.setenv("WORLD_SIZE", count)
        keys.add(checkpoint_key({}, bar_data()))
    assert len(keys) == 3


def test_a_stage_that_does_not_train_is_refused(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None
) -> None:
    ran = []
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    with pytest.raises(SystemExit) as ended:
        run(lambda: ran.append(1))
    expected = "error in process 1: This stage runs in one process: start it without torchrun."
    assert ended.value.code == expected
    assert not ran
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    run(lambda: ran.append(1))
    assert ran


def test_options_that_torchrun_refuses_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    monkeypatch.setenv("PANDACAT_TORCHRUN", "--nproc-per-node two")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    with pytest.raises(SystemExit, match=r"torchrun can't start the processes \(.* two\): correct"):
        run(lambda: ran.append(1), distributed=True)
    assert not ran
    monkeypatch.setenv("PANDACAT_TORCHRUN", "")
    run(lambda: ran.append(1), distributed=True)
    assert ran


def test_fewer_gpus_than_processes_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(PandacatError, match="2 processes can't share 1 GPU: start them"):
        join_processes()


def test_a_process_that_is_gone_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None
) -> None:
    def reset(tensor: torch.Tensor) -> None:
        raise RuntimeError("[/pytorch/gloo/pair.cc:5] Connection closed by peer [::1]. This is …")

    monkeypatch.setattr(dist, "all_reduce", reset)
    with pytest.raises(PandacatError, match=r"reached \(Connection closed by peer \[::1\]\)\."):
        summed(torch.ones(1))


def test_a_machine_with_other_data_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None
) -> None:
    monkeypatch.setattr(distributed, "from_first", lambda calculate: "the first one's key")
    require_same("the first one's key")
    with pytest.raises(PandacatError, match="need the same commit, the same data"):
        require_same("another key")
