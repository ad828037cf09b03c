"""The regression gate with a field test, and without one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from ruamel.yaml import YAML
from test_gate import commit, line_of, project, run

from pandacat.core import paths
from pandacat.evaluation import predictions as tables
from pandacat.evaluation.compare import confidence_metrics
from pandacat.evaluation.headline import field_test_fingerprint

repository = project
"""The fixture: a Git repository with rules for the gate."""

RULES = YAML(typ="safe").load(ROOT / "params.yaml")["gate"]
LABELS = np.repeat(["panda", "cat", "other"], 40)


def predictions(split: str, wrong: int = 0, unlike: float = 0.0) -> pd.DataFrame:
    """Return predictions of 120 photos, of which the first pandas are wrong.

    `other` photos are by `unlike` more like pandas than they were.
    """
    generator = np.random.default_rng(0)
    p_cat = np.where(LABELS == "cat", 0.8, 0.05) + 0.1 * generator.random(len(LABELS))
    p_panda = np.where(LABELS == "panda", 0.8, 0.02)
    p_panda[LABELS == "other"] += unlike * generator.random(40)
    p_panda[:wrong], p_cat[:wrong] = p_cat[:wrong], p_panda[:wrong]
    table = pd.DataFrame({"p_panda": p_panda, "p_cat": p_cat, "p_other": 1 - p_panda - p_cat})
    path = [f"{split}-{photo:03d}.jpg" for photo in range(len(LABELS))]
    return table.assign(path=path, label=LABELS, split=split, network=tables.OURS)


def write(**sets: pd.DataFrame) -> None:
    """Write a headline and its predictions, of a test split and sets of photos beside it."""
    Path("metrics").mkdir(exist_ok=True)
    rules = YAML(typ="safe").load(Path("params.yaml"))
    Path("params.yaml").write_text(json.dumps({**rules, "gate": RULES}))
    every = {"test": predictions("test")} | sets
    content: dict[str, Any] = {
        "data": {"source": "sample", "fingerprint": "a" * 64},
        "mnist": {"scratch": {"accuracy": {"value": 0.9955, "low": 0.994, "high": 0.997}}},
        "export": {"openvino": {"labels_kept": 1.0}},
    }
    for name, table in every.items():
        metrics = tables.headline_metrics(table) | confidence_metrics(table, seed=0)
        content[name] = {tables.OURS: {key: metrics[key] for key in KEPT}}
    if "field_test" in sets:
        hashes = sets["field_test"].path.map(str) + str(sets["field_test"].get("version", 1))
        content["data"]["field_test"] = field_test_fingerprint(
            sets["field_test"].assign(sha256=hashes)
        )
    paths.HEADLINE.write_text(json.dumps(content))
    table = pd.concat(list(every.values())).drop(columns="version", errors="ignore")
    table.to_csv(paths.TEST_PREDICTIONS, index=False)


KEPT = ("two_class_accuracy", "accuracy", "roc_auc", "log_loss", "open_set")


def test_the_rules_of_params_yaml_need_no_field_test(repository, capsys):
    write()
    commit()
    assert run() == 0
    assert "field_test" not in capsys.readouterr().out


def test_a_misspelt_rule_about_the_field_test_fails_without_one(repository, capsys):
    write()
    rules = YAML(typ="safe").load(Path("params.yaml"))
    rules["gate"]["field_test.*acuracy"] = {"better": "higher", "tolerance": 0}
    Path("params.yaml").write_text(json.dumps(rules))
    commit()
    assert run() == 1
    assert "No metric is called field_test.*acuracy" in capsys.readouterr().out


@pytest.mark.parametrize(("wrong", "code"), [(3, 0), (9, 1)])
def test_a_drop_in_the_field_test_fails_where_chance_does_not_explain_it(repository, wrong, code):
    write(field_test=predictions("field_test"))
    commit()
    write(field_test=predictions("field_test", wrong=wrong))
    assert run() == code


def test_unknown_animals_that_rank_higher_than_before_are_seen_photo_by_photo(repository, capsys):
    write(field_test=predictions("field_test", unlike=0.82))
    commit()
    write(field_test=predictions("field_test", unlike=0.88))
    assert run() == 1
    assert line_of("field_test.fine_tuned.open_set.auroc", capsys).endswith("regression")


def test_a_field_test_that_the_baseline_lacks_is_new(repository, capsys):
    write()
    commit()
    write(field_test=predictions("field_test", wrong=9))
    assert run() == 0
    assert line_of("field_test.fine_tuned.accuracy", capsys).endswith("new")


def test_a_field_test_that_only_the_baseline_has_is_missing(repository, capsys):
    write(field_test=predictions("field_test"))
    commit()
    write()
    assert run() == 1
    assert line_of("field_test.fine_tuned.accuracy", capsys).endswith("missing")


def test_field_tests_of_other_photos_are_not_compared(repository, capsys):
    write(field_test=predictions("field_test"))
    commit()
    write(field_test=predictions("field_test").assign(version=2))
    assert run() == 2
    assert "measured on other data" in capsys.readouterr().out


def test_a_field_test_without_a_fingerprint_is_not_compared(repository):
    write(field_test=predictions("field_test"))
    content = json.loads(paths.HEADLINE.read_text())
    del content["data"]["field_test"]
    paths.HEADLINE.write_text(json.dumps(content))
    commit()
    write(field_test=predictions("field_test"))
    assert run() == 2


def test_the_fingerprint_goes_by_what_the_photos_are():
    table = predictions("field_test").assign(sha256=[f"{photo:064d}" for photo in range(120)])
    fingerprint = field_test_fingerprint(table)
    twice = pd.concat([table[::-1], table.assign(network="another", p_cat=0.0)])
    assert field_test_fingerprint(twice.assign(path="x" + twice.path)) == fingerprint
    assert field_test_fingerprint(table.assign(label="cat")) != fingerprint
    assert field_test_fingerprint(table[1:]) != fingerprint
