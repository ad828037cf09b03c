"""What the benchmarks make of the seconds they measure."""

import argparse
import json
import runpy
from pathlib import Path

import fine_tune
import growth
import measuring
import numpy as np
import pytest
from conftest import ROOT

from pandacat.core.errors import PandacatError


def test_ways_are_measured_in_turn() -> None:
    order: list[str] = []
    ways = {name: lambda name=name: order.append(name) for name in ("ours", "theirs")}
    seconds = measuring.in_turn(ways, repeats=2)
    assert order == ["ours", "theirs", "ours", "theirs"]
    assert [len(runs) for runs in seconds.values()] == [2, 2]


def test_a_ratio_compares_runs_of_the_same_turn() -> None:
    values = {"ours": [10.0, 20.0, 300.0], "theirs": [5.0, 10.0, 10.0]}
    assert measuring.ratio(values, "ours", "theirs") == 2.0
    assert measuring.rates({"ours": [2.0]}, 10) == {"ours": [5.0]}


def test_a_report_is_added_to_the_others_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(measuring, "PLOT", tmp_path / "results.png")
    for name in ("one", "two"):
        values = {"ours": [2.0, 4.0, 3.0], "theirs": [1.0]}
        comparison = measuring.Comparison(name, "photos/s", values, {"times theirs": 3.0})
        measuring.report(name, comparison)
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["machine", "one", "two"]
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert "| ours         | 3 | 3 |" in capsys.readouterr().out


def test_damaged_results_are_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.json"
    results.write_text('{"one": ')
    monkeypatch.setattr(measuring, "RESULTS", results)
    comparison = measuring.Comparison("two", "s", {"ours": [1.0]}, {})
    with pytest.raises(PandacatError, match="is damaged"):
        measuring.report("two", comparison)
    assert results.read_text() == '{"one": '


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_repeats_are_at_least_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 up"):
        measuring.repeats(text)
    assert measuring.repeats("3") == 3


def test_growth_is_told_relative_to_the_smallest_run() -> None:
    runs = {10: {"seconds": 1.0, "peak_mib": 100.0}, 100: {"seconds": 8.0, "peak_mib": 130.0}}
    assert "| predict | 100 | 8.00 | 12 | 130 | 1.30 |" in growth.table({"predict": runs})


def test_pandas_and_cats_are_judged_by_their_own_two_probabilities() -> None:
    answers = np.array([[0.3, 0.1, 0.6], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]])
    labels = np.array([0, 1, 1, 2])
    assert fine_tune.pair_accuracy(labels, answers) == pytest.approx(2 / 3)
    assert fine_tune.judged(answers, labels)["panda, cat or neither"] == 0.25
    assert fine_tune.judged(answers, labels)["AUROC of neither"] == 1.0


@pytest.mark.parametrize(
    "name", ["fine_tune", "frozen_pass", "growth", "mnist", "pipeline", "preprocess", "recipes"]
)
def test_every_benchmark_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name="__main__")
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_an_error_for_the_user_is_a_sentence() -> None:
    def main() -> None:
        raise PandacatError("photos.zip is no zip.")

    with pytest.raises(SystemExit, match=r"^error: photos\.zip is no zip\.$"):
        measuring.run(main)
