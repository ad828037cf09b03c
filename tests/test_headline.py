"""The headline metrics, and the few numbers by which experiments are compared."""

from typing import Any

from conftest import ROOT
from ruamel.yaml import YAML

from pandacat.core.paths import SUMMARY
from pandacat.evaluation.headline import headline, summary

MNIST = {"accuracy": 0.99, "low": 0.98, "high": 1.0}


def network(accuracy: float) -> dict[str, Any]:
    value = {"value": accuracy, "low": 0.0, "high": 1.0}
    return {
        "accuracy": value,
        "log_loss": {"value": 0.123456, "low": 0.0, "high": 1.0},
        "calibration_error": 0.02,
        "open_set": {"auroc": value},
        "confusion": {"panda": {"panda": 1}},
    }


def test_the_summary_has_the_accuracies_of_all_networks_and_more_of_the_fine_tuned() -> None:
    networks = {"fine_tuned": network(0.9), "pretrained": network(0.8), "scratch": network(0.7)}
    assert summary(headline({"test": networks}, MNIST)) == {
        "accuracy": 0.9,
        "log_loss": 0.1235,
        "ece": 0.02,
        "auroc": 0.9,
        "pretrained": 0.8,
        "scratch": 0.7,
        "mnist": 0.99,
    }


def test_a_field_test_adds_two_numbers_to_the_summary() -> None:
    networks = {"fine_tuned": network(0.9)}
    numbers = summary(headline({"test": networks, "field_test": networks}, MNIST))
    assert {"field_accuracy", "field_auroc"} < set(numbers)


def test_the_summary_is_all_that_dvc_shows_as_metrics() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    files = [
        name for stage in stages.values() for entry in stage.get("metrics", []) for name in entry
    ]
    assert files == [str(SUMMARY)]
