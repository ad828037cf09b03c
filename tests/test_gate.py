"""The regression gate: what passes, what fails, and what can't be compared."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from pandacat.app import cli
from pandacat.core import paths

RULES = {
    "test.*accuracy": {"better": "higher", "tolerance": 0.002, "floor": 0.5},
    "test.*.log_loss": {"better": "lower", "tolerance": 0.01},
    "test.*.calibration_error": {"better": "lower", "tolerance": 0.01},
    "speed": {"better": "higher", "tolerance": 1, "ceiling": 100},
}
PHOTOS = 200


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A Git repository with the project's params and the rules above; the current folder."""
    settings = YAML(typ="safe").load(Path(__file__).parents[1] / "params.yaml")
    (tmp_path / "params.yaml").write_text(json.dumps({**settings, "gate": RULES}))
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    return tmp_path


def git(*arguments):
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def write(metrics, wrong=None, fingerprint="a" * 64):
    """Write the headline; or, where `wrong` is a set of photos, predictions and their headline.

    Each rule of `RULES` has a metric that it matches.
    """
    Path("metrics").mkdir(exist_ok=True)
    if wrong is not None:
        rows = ["path,label,split,network,p_panda,p_cat,p_other"]
        for photo in range(PHOTOS):
            row = "0.2,0.8,0" if photo in wrong else "0.8,0.2,0"
            rows.append(f"{photo}.jpg,panda,test,ours,{row}")
        paths.TEST_PREDICTIONS.write_text("\n".join(rows) + "\n")
        share = len(wrong) / PHOTOS
        ours = {
            "two_class_accuracy": 1 - share,
            "log_loss": -share * math.log(0.2) - (1 - share) * math.log(0.8),
            "calibration_error": abs(1 - share - 0.8),
        }
        metrics = {"test": {"ours": ours}}
    else:
        theirs = {"two_class_accuracy": 0.9, "log_loss": 0.3, "calibration_error": 0.1}
        metrics = {**metrics, "test": {**metrics.get("test", {}), "theirs": theirs}}
    data = {"source": "sample", "fingerprint": fingerprint}
    content = {"data": data, "speed": 50, **metrics}
    paths.HEADLINE.write_text(json.dumps(content))


def commit():
    git("add", ".")
    git("commit", "--quiet", "--message", "metrics")


def run(*arguments):
    return cli.main(["gate", *arguments])


def compare(before, after):
    write(before)
    commit()
    write(after)
    return run()


def line_of(name, capsys):
    return next(line for line in capsys.readouterr().out.splitlines() if name in line).rstrip()


def accuracy(value, low=None, high=None):
    metric = value if low is None else {"value": value, "low": low, "high": high}
    return {"test": {"ours": {"two_class_accuracy": metric}}}


def test_a_drop_beyond_the_tolerance_fails(project, capsys):
    assert compare(accuracy(0.99), accuracy(0.98)) == 1
    assert "regression" in capsys.readouterr().out


def test_a_drop_within_the_tolerance_passes(project):
    assert compare(accuracy(0.99), accuracy(0.9885)) == 0


def test_an_improvement_passes(project, capsys):
    assert compare(accuracy(0.98), accuracy(0.99)) == 0
    assert "better" in capsys.readouterr().out


def test_of_a_loss_lower_is_better(project):
    loss = {"test": {"ours": {"log_loss": 0.10}}}
    more = {"test": {"ours": {"log_loss": 0.15}}}
    assert compare(loss, more) == 1
    commit()
    write(loss)
    assert run() == 0


def test_a_drop_that_chance_explains_passes(project, capsys):
    write({}, wrong=set(range(5)))
    commit()
    write({}, wrong=set(range(5, 15)))
    assert run() == 0
    assert "no clear change" in capsys.readouterr().out


@pytest.mark.parametrize(("newly_wrong", "outcome"), [(5, "no clear change"), (6, "regression")])
def test_six_photos_newly_wrong_and_none_newly_right_are_not_chance(
    project, capsys, newly_wrong, outcome
):
    write({}, wrong=set())
    commit()
    write({}, wrong=set(range(newly_wrong)))
    run()
    assert line_of("two_class_accuracy", capsys).endswith(outcome)


def test_photos_in_another_order_are_the_same_photos(project, capsys):
    write({}, wrong=set())
    commit()
    write({}, wrong=set(range(6)))
    header, *rows = paths.TEST_PREDICTIONS.read_text().splitlines()
    paths.TEST_PREDICTIONS.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert run() == 1
    assert f"{3 / 2**6:.4f}" in line_of("two_class_accuracy", capsys)


def test_the_smallest_detectable_drop_is_printed(project, capsys):
    write({}, wrong=set())
    commit()
    write({}, wrong=set(range(6)))
    run()
    out = capsys.readouterr().out
    assert "adjusted for the number of tests, 3;" in out
    assert f"these {PHOTOS} photos (test) can show: {6 / PHOTOS:.4f}" in out


def test_predictions_that_do_not_give_the_metric_are_not_used(project):
    write({}, wrong=set())
    commit()
    write(accuracy(0.98))
    assert run() == 1


def test_overlapping_intervals_make_no_regression(project):
    assert compare(accuracy(0.95, 0.90, 0.98), accuracy(0.93, 0.88, 0.96)) == 0


def test_intervals_far_apart_make_one(project):
    assert compare(accuracy(0.95, 0.94, 0.96), accuracy(0.90, 0.89, 0.91)) == 1


@pytest.mark.parametrize(("newly_wrong", "outcome"), [(2, "no clear change"), (20, "regression")])
def test_a_log_loss_is_compared_photo_by_photo(project, capsys, newly_wrong, outcome):
    write({}, wrong=set())
    commit()
    write({}, wrong=set(range(newly_wrong)))
    run()
    assert line_of("log_loss", capsys).endswith(outcome)


@pytest.mark.parametrize(("newly_wrong", "outcome"), [(5, "no clear change"), (60, "regression")])
def test_a_calibration_error_is_compared_photo_by_photo(project, capsys, newly_wrong, outcome):
    write({}, wrong=set(range(40)))
    commit()
    write({}, wrong=set(range(40 + newly_wrong)))
    run("--against", "HEAD")
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "calibration" in line)
    assert row.endswith(outcome)


def test_a_missing_metric_fails(project, capsys):
    assert compare(accuracy(0.9), {}) == 1
    assert "missing" in capsys.readouterr().out


def test_a_new_metric_passes(project):
    assert compare({}, accuracy(0.9)) == 0


def test_metrics_without_a_rule_are_ignored(project, capsys):
    assert compare({**accuracy(0.9), "photos": 70}, {**accuracy(0.9), "photos": 60}) == 0
    assert "photos " not in capsys.readouterr().out.partition("\n\n")[0]


@pytest.mark.parametrize(
    ("metrics", "outcome"),
    [(accuracy(0.4), "below floor"), ({"speed": 101}, "above ceiling")],
)
def test_a_broken_bound_fails_even_without_a_baseline(project, capsys, metrics, outcome):
    write(metrics)
    assert run() == 1
    assert outcome in capsys.readouterr().out


def test_an_unknown_revision_cannot_be_compared(project, capsys):
    write(accuracy(0.9))
    assert run("--against", "nowhere") == 2
    assert "no Git revision 'nowhere'" in capsys.readouterr().out


def test_where_nothing_is_compared_the_last_lines_say_why(project, capsys):
    write({}, wrong={1})
    assert run("--against", "nowhere") == 2
    reason, result = capsys.readouterr().out.splitlines()[-2:]
    assert "no Git revision 'nowhere'" in reason
    assert result == "Gate: not compared; no metric breaks its floor or ceiling."


def test_an_empty_revision_cannot_be_compared(project, capsys):
    write(accuracy(0.9))
    assert run("--against", "") == 2
    assert "There is no Git revision '' here" in capsys.readouterr().out


def test_a_revision_without_metrics_cannot_be_compared(project, capsys):
    commit()
    write(accuracy(0.9))
    assert run() == 2
    assert "main has no metrics/headline.json" in capsys.readouterr().out


def test_metrics_of_other_data_are_not_compared(project, capsys):
    write(accuracy(0.9), fingerprint="a" * 64)
    commit()
    write(accuracy(0.8), fingerprint="b" * 64)
    assert run() == 2
    assert "measured on other data" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"speed": {"value": "fast"}}',
        "\x00",
        '{"data": null}',
        '{"a": NaN}',
        '{"a": {"value": 1e999, "low": 0, "high": 1}}',
    ],
)
def test_an_unreadable_headline_is_named(project, capsys, content):
    write(accuracy(0.9))
    commit()
    paths.HEADLINE.write_text(content)
    assert run() == 2
    assert "metrics/headline.json is not readable" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "",
        "path,label\n1.jpg,panda\n",
        "label,p_panda,p_cat,p_other\ndog,1,0,0\n",
        "path,label,network,p_panda,p_cat,p_other\n",
    ],
)
def test_unreadable_predictions_are_named(project, capsys, content):
    write(accuracy(0.9))
    paths.TEST_PREDICTIONS.write_text(content)
    assert run() == 2
    assert "is not readable" in capsys.readouterr().err


def test_without_a_pipeline_run_there_is_nothing_to_compare(project, capsys):
    assert run() == 2
    assert "run `dvc repro` first" in capsys.readouterr().err


def test_outside_a_repository_nothing_can_be_compared(project, monkeypatch, capsys):
    write(accuracy(0.9))
    monkeypatch.setenv("GIT_DIR", str(project / "none"))
    assert run() == 2
    assert "Git can't read this repository (fatal: not a git" in capsys.readouterr().out


def test_a_rule_that_matches_no_metric_fails(project, capsys):
    settings = YAML(typ="safe").load(Path("params.yaml"))
    misspelt = {"test.*.acuracy": {"better": "higher", "tolerance": 0}}
    Path("params.yaml").write_text(json.dumps({**settings, "gate": RULES | misspelt}))
    assert compare(accuracy(0.9), accuracy(0.9)) == 1
    assert "No metric is called test.*.acuracy: correct the rule" in capsys.readouterr().out


def test_a_note_says_where_photos_could_not_be_compared_one_by_one(project, capsys):
    write({}, wrong={3})
    commit()
    *rows, _ = paths.TEST_PREDICTIONS.read_text().splitlines()
    paths.TEST_PREDICTIONS.write_text("\n".join(rows) + "\n")
    assert run() == 0
    assert (
        "3 metrics are compared by their intervals, not photo by photo (test.ours."
        in capsys.readouterr().out
    )


def test_where_no_rule_matches_nothing_is_compared(project, capsys):
    write({})
    paths.HEADLINE.write_text('{"photos": 1}')
    commit()
    assert run() == 2
    assert "no rule under `gate` in params.yaml matches a metric" in capsys.readouterr().err


def test_the_pull_request_gets_a_table_with_failures_in_bold(project):
    write(accuracy(0.99))
    commit()
    write(accuracy(0.9))
    run("--markdown", "gate.md")
    table = Path("gate.md").read_text()
    assert "| test.ours.two_class_accuracy " in table
    assert "**regression**" in table


def test_the_name_of_the_data_is_text_on_the_terminal_and_in_the_table(project, capsys):
    write(accuracy(0.9))
    commit()
    content = json.loads(paths.HEADLINE.read_text())
    content["data"]["title"] = "<b>[x](y)\x1b"
    paths.HEADLINE.write_text(json.dumps(content))
    assert run("--markdown", "gate.md") == 2
    assert r"title <b>[x](y)\x1b" in capsys.readouterr().out
    shown = MarkdownIt().render(Path("gate.md").read_text())
    assert r"title &lt;b&gt;[x](y)\x1b" in shown
    assert "Run <code>dvc repro</code> with those" in shown


def test_an_existing_file_is_replaced_with_force_only(project, capsys):
    write(accuracy(0.9))
    commit()
    Path("gate.md").write_text("mine")
    assert run("--markdown", "gate.md") == 2
    assert "--markdown gate.md exists: --force replaces it" in capsys.readouterr().err
    assert Path("gate.md").read_text() == "mine"
    assert run("--markdown", "gate.md", "--force") == 0
    assert Path("gate.md").read_text().startswith("| metric ")


def test_no_table_replaces_an_output_of_the_pipeline(project, capsys):
    write(accuracy(0.9))
    commit()
    before = paths.HEADLINE.read_bytes()
    assert run("--markdown", str(paths.HEADLINE), "--force") == 2
    assert "is among the pipeline's outputs" in capsys.readouterr().err
    assert paths.HEADLINE.read_bytes() == before


def test_from_a_folder_of_the_project_its_metrics_are_compared(project, monkeypatch):
    Path("dvc.yaml").touch()
    (project / "src").mkdir()
    write(accuracy(0.9))
    commit()
    monkeypatch.chdir("src")
    assert run("--markdown", "gate.md") == 0
    assert (project / "src/gate.md").exists()
    assert run("--markdown", "../metrics/gate.md") == 2  # among the pipeline's outputs


def test_a_device_is_written_to_without_force(project):
    write(accuracy(0.9))
    commit()
    with Path("out.txt").open("w") as stream:
        command = [sys.executable, "-m", "pandacat", "gate", "--markdown", "/dev/stdout"]
        subprocess.run(command, stdout=stream, check=True)
    assert "| metric " in Path("out.txt").read_text()


def test_a_table_that_cannot_be_written_is_no_regression(project, capsys):
    write(accuracy(0.9))
    commit()
    Path("file").touch()
    assert run("--markdown", "file/gate.md") == 2
    captured = capsys.readouterr()
    assert "all 5 metrics pass" in captured.out
    assert captured.err.startswith("pandacat: --markdown: ")
    assert "file: File exists. " in captured.err


LABELS = ("giant_panda", "red_fox", "wild_boar")


def write_three_labels(wrong):
    """Write predictions for three in-distribution labels, and their headline."""
    rows = [f"path,label,split,network,{','.join(f'p_{label}' for label in (*LABELS, 'other'))}"]
    for photo in range(PHOTOS):
        values = "0.1,0.1,0.7,0.1" if photo in wrong else "0.1,0.7,0.1,0.1"
        rows.append(f"{photo}.jpg,red_fox,test,ours,{values}")
    Path("metrics").mkdir(exist_ok=True)
    paths.TEST_PREDICTIONS.write_text("\n".join(rows) + "\n")
    share = len(wrong) / PHOTOS
    ours = {
        "accuracy": 1 - share,
        "log_loss": -share * math.log(0.1) - (1 - share) * math.log(0.7),
        "calibration_error": abs(1 - share - 0.7),
    }
    content = {"data": {"source": "archive"}, "speed": 50, "test": {"ours": ours}}
    paths.HEADLINE.write_text(json.dumps(content))


@pytest.mark.parametrize(("newly_wrong", "outcome"), [(5, "no clear change"), (6, "regression")])
def test_labels_come_from_the_predictions(project, capsys, newly_wrong, outcome):
    write_three_labels(set())
    commit()
    write_three_labels(set(range(newly_wrong)))
    run()
    out = capsys.readouterr().out
    (row,) = (line for line in out.splitlines() if line.startswith("test.ours.accuracy"))
    assert row.rstrip().endswith(outcome)
    assert "Smallest drop in accuracy" in out
    assert "two_class_accuracy" not in out


def test_rounding_in_the_predictions_does_not_make_the_comparison_coarse(project, capsys):
    write({}, wrong={3})
    headline = json.loads(paths.HEADLINE.read_text())
    headline["test"]["ours"]["log_loss"] += 2e-6
    paths.HEADLINE.write_text(json.dumps(headline))
    commit()
    assert run() == 0
    assert "photo by photo" not in capsys.readouterr().out


def test_a_folder_in_place_of_the_table_is_no_regression(project, capsys):
    write(accuracy(0.9))
    commit()
    Path("gate.md").mkdir()
    assert run("--markdown", "gate.md") == 2
    assert "pandacat: --markdown gate.md is a folder" in capsys.readouterr().err
