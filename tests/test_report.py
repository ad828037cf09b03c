"""The report and the model card say what the stages found, and nothing else."""

import copy
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS
from dvc_stages import run_stage
from PIL import Image
from ruamel.yaml import YAML

from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError
from pandacat.evaluation.audit import Audit
from pandacat.evaluation.compare import compare_networks, evaluate
from pandacat.models.saved import ConformalThresholds
from pandacat.report import pages
from pandacat.report.formatting import NETWORKS, percent
from pandacat.report.pages import Results, read_results
from pandacat.report.templating import render

SHARE = {"value": 0.625, "low": 0.5125, "high": 0.7375}
FINDING = ["property", "first", "second", "value", "low", "high"]
SHORTCUT = pd.DataFrame([("quantization", "panda", "cat", 0.993, 0.981, 0.998)], columns=FINDING)
PICTURES = (
    *(
        "samples",
        "headline",
        "mistakes_fine_tuned",
        "grad_cam",
        "robustness",
        "changed_predictions",
    ),
    *(
        f"{name}_{dataset}"
        for name in ("confusion", "roc", "reliability", "risk_coverage", "open_set")
        for dataset in ("test", "field_test")
    ),
    "curves",
)
VOID = {"meta", "img", "rect", "circle"}
"""Elements that are never closed, or that close themselves."""


@pytest.fixture(scope="module")
def place(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace, with digits, robustness and plots of its own."""
    folder = tmp_path_factory.mktemp("report") / "place"
    shutil.copytree(workspace, folder)
    shutil.rmtree(folder / "plots/figures")
    digits = {"test": {"accuracy": 0.9876, "low": 0.985, "high": 0.99, "errors": 124}}
    (folder / "metrics/train_scratch_mnist.json").write_text(json.dumps(digits))
    networks = list(json.loads((folder / "metrics/evaluate.json").read_text())["test"])
    robustness = {
        name: {
            "corrupted": {"accuracy": SHARE},
            "changed_when_recompressed": {
                "panda": SHARE | {"to": {"cat": 7}},
                "all": SHARE | {"to": {"cat": 7}},
            },
        }
        for name in networks
    }
    (folder / "metrics/robustness.json").write_text(
        json.dumps({"test": robustness, "recompressed_at_quality": 61})
    )
    corruptions = pd.DataFrame(
        [(name, "fog", 3, 4, 0.75) for name in networks]
        + [(name, "shot_noise", 3, 4, 0.25) for name in networks],
        columns=["network", "corruption", "severity", "photos", "accuracy"],
    )
    corruptions.to_csv(folder / "plots/corruptions.csv", index=False)
    (folder / "plots/figures").mkdir()
    for name in PICTURES:
        Image.new("RGB", (40, 30)).save(folder / f"plots/figures/{name}.png")
    return folder


@pytest.fixture
def results(place: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.chdir(place)
    return read_results(load_config().fine_tune)


def with_metrics(results: Results, **changed: Any) -> Results:
    """Return the results with other files in `metrics/`."""
    return replace(results, metrics={**results.metrics, **changed})


def of_labels(results: Results, labels: Sequence[str]) -> Results:
    """Return results as a run with other labels would leave them, with made-up figures."""
    *known, _ = labels
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(labels)), 4 * len(labels))
    table = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in labels])
    table["label"] = [*labels] * 4
    table["path"] = [f"{row}.jpg" for row in table.index]
    networks = list(results.metrics["evaluate"]["test"])
    predictions = pd.concat([table.assign(network=name) for name in networks])
    differences = compare_networks(predictions, seed=0)
    counts = {split: dict.fromkeys(labels, 4) for split in ("train", "validation", "test")}
    description = replace(
        results.model.description,
        labels=tuple(labels),
        label_classes=tuple((1000 + row,) if row else (0, 1) for row in range(len(known))),
        conformal=ConformalThresholds(0.9, 0.8, (0.2,) * len(labels)),
    )
    return replace(
        with_metrics(
            results,
            evaluate={"test": evaluate(predictions, differences, seed=0)},
            preprocess=results.metrics["preprocess"] | counts,
        ),
        predictions={"test": predictions},
        label_issues=results.label_issues.assign(
            path="1.jpg", label=labels[0], suggested="other", reason="doubtful"
        ),
        quarantined=results.quarantined.head(0),
        shortcuts=pd.DataFrame([("blur", labels[0], "other", 0.5, 0.4, 0.6)], columns=FINDING),
        model=replace(results.model, description=description),
    )


def card(results: Results) -> str:
    return pages.model_card(results, Path("reports"))


BOTH = pytest.mark.parametrize("page", [pages.report, card], ids=["report", "card"])


class Elements(HTMLParser):
    """The elements of a page, and whether each one is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    return parser


def test_the_stage_writes_both(place: Path, results: Results) -> None:
    run_stage("report")
    assert (place / "reports/report.html").read_text() == pages.report(results)
    assert (place / "reports/model_card.md").read_text() == card(results)


def test_the_report_is_one_well_formed_file_that_loads_no_other(results: Results) -> None:
    page = elements(pages.report(results))
    assert page.open == []
    for tag, attributes in page.found:
        assert tag not in ("script", "link", "iframe")
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith("#")


def test_the_log_loss_of_the_linear_probe_is_explained(results: Results) -> None:
    probe = results.metrics["evaluate"]["test"]["linear_probe"]
    assert all(row.get("other", 0) == 0 for row in probe["confusion"].values())
    assert probe["log_loss"]["value"] > 5
    assert "never says other: it gives other a probability of 0" in pages.report(results)


def test_every_picture_has_a_text_and_every_link_leads_somewhere(results: Results) -> None:
    page = elements(pages.report(results))
    pictures = [attributes for tag, attributes in page.found if tag == "img"]
    assert len(pictures) == len(PICTURES) + 4  # of the audit
    assert all(attributes["alt"] for attributes in pictures)
    places = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    assert links
    assert {f"#{name}" for name in places} >= set(links)


@pytest.mark.parametrize(
    "labels", [("fox", "other"), ("panda", "cat", "other"), ("lion", "red_panda", "cat", "other")]
)
@BOTH
def test_pages_are_about_the_labels_of_the_run(
    results: Results, page: Callable[[Results], str], labels: Sequence[str]
) -> None:
    text = page(of_labels(results, labels))
    *known, _ = (label.replace("_", " ") for label in labels)
    prose = re.sub(r"pandacat|red.panda|data:\S+", "", text)
    for label in {"panda", "cat", "fox", "lion"} - set(labels):
        assert not re.search(rf"\b{label}s?\b", prose, re.IGNORECASE)
    assert "red_panda" not in text
    question = f"{', '.join(known)} or other?"
    assert question in text
    assert ("panda or cat?" in text) == (len(known) == 2)
    for number, label in enumerate(known):
        meaning = "a class of its own" if number else "2 ImageNet classes (tench, goldfish)"
        assert f"{label}, {meaning}" in text
        assert f"“{label}”" in text  # a prediction set
    changed = of_labels(results, labels)
    for sentence in pages.mistakes(changed.fine_tuned["test"]["confusion"]):
        assert sentence in text
    if page is card:
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({row.count("|") for row in table.splitlines()}) == 1
    else:
        parsed = elements(text)
        assert parsed.open == []


@BOTH
def test_figures_come_from_what_was_measured(
    results: Results, page: Callable[[Results], str]
) -> None:
    text = page(results)
    assert "62.5 %" in text  # the robustness that was made up above
    assert "recompressed at JPEG quality 61" in text
    assert ("7 to cat" in text) == (page is pages.report)
    for dataset, networks in results.metrics["evaluate"].items():
        changed = copy.deepcopy(results.metrics["evaluate"])
        changed[dataset]["fine_tuned"]["accuracy"] = {
            "value": 0.1234,
            "low": 0.1111,
            "high": 0.1357,
        }
        assert "12.3 %" not in text
        assert "12.3 %" in page(with_metrics(results, evaluate=changed))
        assert percent(networks["pretrained"]["accuracy"]["value"]) in text


@BOTH
def test_every_network_has_one_description(
    results: Results, page: Callable[[Results], str]
) -> None:
    assert set(results.metrics["evaluate"]["test"]) == set(NETWORKS)
    assert all(words in page(results) for words in NETWORKS.values())


@BOTH
def test_photos_from_other_sources_are_reported_apart_and_their_absence_is_a_limit(
    results: Results, page: Callable[[Results], str]
) -> None:
    assert "photos from other sources" in page(results)
    assert "has not been measured on photos from other sources" not in page(results)
    inside = replace(
        with_metrics(results, evaluate={"test": results.metrics["evaluate"]["test"]}),
        predictions={"test": results.predictions["test"]},
    )
    assert "has not been measured on photos from other sources" in page(inside)


@BOTH
def test_what_the_photos_do_not_define_is_left_out(
    results: Results, page: Callable[[Results], str]
) -> None:
    evaluate = copy.deepcopy(results.metrics["evaluate"])
    every = [figures for networks in evaluate.values() for figures in networks.values()]
    for figures in every:
        figures["open_set"]["auroc"]["value"] = 0.43219
    assert "0.432" in page(with_metrics(results, evaluate=evaluate))
    for figures in every:
        figures["photos"]["other"] = 0
        figures.pop("open_set")
        figures["per_class"].pop("other")
        figures["per_class"]["cat"].pop("precision", None)
    tables = results.predictions.items()
    predictions = {name: table[table.label != "other"] for name, table in tables}
    without = page(replace(with_metrics(results, evaluate=evaluate), predictions=predictions))
    assert "0.432" not in without
    assert "AUROC of" not in without


@BOTH
def test_drawings_are_called_drawings_and_photographs_are_not(
    results: Results, page: Callable[[Results], str]
) -> None:
    photographs = replace(results, origin=replace(results.origin, drawn=False))
    assert "It has been fine-tuned and tested on drawings." in page(results)
    assert "drawings" not in page(photographs)


@BOTH
def test_photos_that_imagenet_may_hold_are_disclosed_and_drawings_are_none(
    results: Results, page: Callable[[Results], str]
) -> None:
    photographs = replace(results, origin=replace(results.origin, drawn=False))
    sentence = "Some photos of this data set may be among them"
    assert sentence in page(photographs)
    assert sentence not in page(results)


@BOTH
def test_calibration_errors_stand_beside_their_level_by_chance(
    results: Results, page: Callable[[Results], str]
) -> None:
    evaluate = copy.deepcopy(results.metrics["evaluate"])
    for networks in evaluate.values():
        for number, figures in enumerate(networks.values()):
            figures["calibration_error_by_chance"] = 0.03141 + number
    text = page(with_metrics(results, evaluate=evaluate))
    for number in range(len(evaluate["test"])):
        assert text.count(f"up to {3.1 + 100 * number:.1f} %") == len(evaluate)


@BOTH
def test_a_warning_of_the_audit_is_passed_on_only_where_there_is_one(
    results: Results, page: Callable[[Results], str]
) -> None:
    warned = page(replace(results, shortcuts=SHORTCUT))
    assert "99.3 %" in warned
    assert "The audit of the data gives 1 warning" in warned
    assert "The audit of the data gives" not in page(results)


@BOTH
def test_an_unknown_license_is_mentioned(results: Results, page: Callable[[Results], str]) -> None:
    unknown = replace(results, origin=replace(results.origin, license="unknown"))
    assert "not stated: ask" in page(unknown)
    assert "not stated: ask" not in page(results)


def test_mistakes_are_counted_by_label_and_prediction_the_most_frequent_first() -> None:
    confusion = {
        "red_panda": {"red_panda": 1, "cat": 0, "other": 0},
        "cat": {"red_panda": 1, "cat": 1, "other": 2},
        "other": {"red_panda": 0, "cat": 0, "other": 0},
    }
    assert pages.mistakes(confusion) == [
        "2 of 4 photos labeled cat were classified as other",
        "1 of 4 photos labeled cat was classified as red panda",
    ]


def test_prediction_sets_hold_all_that_cannot_be_ruled_out() -> None:
    predictions = pd.DataFrame(
        [
            ("panda", 0.9, 0.0, 0.1),
            ("panda", 0.4, 0.35, 0.25),
            ("cat", 0.35, 0.05, 0.6),
            ("other", 0.0, 0.02, 0.98),
            ("other", 0.6, 0.1, 0.3),
        ],
        columns=["label", *PROBABILITY_COLUMNS],
    ).assign(network="fine_tuned")
    panda, cat, other = pages.prediction_sets(predictions, [0.3, 0.3, 0.4])
    assert (panda["sets"], panda["coverage"]["value"]) == ({"panda": 1, "panda or cat": 1}, 1)
    assert (cat["sets"], cat["coverage"]["value"]) == ({"panda or other": 1}, 0)
    assert (other["sets"], other["coverage"]["value"]) == ({"other": 1, "panda": 1}, 0.5)


def with_thresholds(results: Results, conformal: ConformalThresholds | None) -> Results:
    description = replace(results.model.description, conformal=conformal)
    return replace(results, model=replace(results.model, description=description))


@BOTH
def test_prediction_sets_are_reported_where_the_network_has_thresholds(
    results: Results, page: Callable[[Results], str]
) -> None:
    assert "--prediction-sets" in page(results)
    promised = page(with_thresholds(results, ConformalThresholds(0.87, 0.83, (0.3, 0.3, 0.3))))
    assert "with 83 % confidence for each label, at least 87 % of its photos" in promised
    assert "--prediction-sets" not in page(with_thresholds(results, None))


def test_the_hardest_corruption_comes_first(results: Results) -> None:
    assert pages.hardest_corruptions(results.corruptions) == [
        "shot noise (1 of 4 correct)",
        "fog (3 of 4 correct)",
    ]


@pytest.mark.parametrize(
    ("difference", "effect"),
    [
        ((0.05, 0.01, 0.09, 0.01), "clearly better"),
        ((-0.05, -0.09, -0.01, 0.01), "clearly worse"),
        ((0.05, -0.01, 0.09, 0.06), "no clear difference"),
    ],
)
def test_fine_tuning_is_called_better_only_where_that_is_beyond_chance(
    results: Results, difference: tuple[float, float, float, float], effect: str
) -> None:
    evaluate = copy.deepcopy(results.metrics["evaluate"])
    bounds = dict(zip(("value", "low", "high", "p_value"), difference, strict=True))
    evaluate["test"]["pretrained"]["fine_tuned_difference"]["accuracy"] = bounds
    text = card(with_metrics(results, evaluate=evaluate))
    assert effect in next(line for line in text.splitlines() if "Before fine-tuning" in line)


@pytest.mark.parametrize(
    ("bounds", "network"),
    [
        ((0.05, 0.01, 0.09, 0.01), "fine_tuned"),
        ((-0.05, -0.09, 0.01, 0.06), "fine_tuned"),
        ((-0.05, -0.09, -0.01, 0.01), "pretrained"),
    ],
)
def test_another_network_is_recommended_only_where_it_is_better_beyond_chance(
    results: Results, bounds: tuple[float, float, float, float], network: str
) -> None:
    difference = dict(zip(("value", "low", "high", "p_value"), bounds, strict=True))
    same = {"value": 0.0, "low": -0.1, "high": 0.1, "p_value": 1.0}
    evaluate = copy.deepcopy(results.metrics["evaluate"])
    for name, figures in evaluate["field_test"].items():
        if name != "fine_tuned":
            bounds_of = difference if name == "pretrained" else same
            figures["fine_tuned_difference"]["accuracy"] = bounds_of
    photographs = replace(results, origin=replace(results.origin, drawn=False))
    assert f"use the {NETWORKS[network]} (" in card(with_metrics(photographs, evaluate=evaluate))


def test_networks_of_drawings_are_not_recommended(results: Results) -> None:
    assert "run the pipeline on photographs (" in card(results)
    assert "use the fine-tuned" not in card(results)


@BOTH
def test_settings_without_effect_are_left_out(
    results: Results, page: Callable[[Results], str]
) -> None:
    assert "seen_class_scale" in page(results)
    assert "augment." not in page(results)
    everything = replace(results, settings=replace(results.settings, strategy="everything"))
    assert "seen_class_scale" not in page(everything)
    assert "augment.flip" in page(everything)


def test_a_label_of_many_classes_has_them_counted_and_one_that_imagenet_lacks_says_so() -> None:
    assert pages.classes_in_words([388]) == "1 ImageNet class (giant panda)"
    assert pages.classes_in_words(range(151, 269)) == "118 ImageNet classes"
    assert pages.classes_in_words([1000]) == "a class of its own, which ImageNet lacks"


def test_names_from_an_archive_cannot_break_the_page(results: Results) -> None:
    label_issues = results.label_issues.assign(path="<script>alert(1)</script>|x.jpg")
    page = pages.report(replace(results, label_issues=label_issues))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_card_opens_with_metadata_that_hubs_can_read(results: Results) -> None:
    _, head, body = card(results).split("---\n", 2)
    metadata = YAML(typ="safe", pure=True).load(head)
    assert metadata["license"] == "apache-2.0"
    assert metadata["pipeline_tag"] == "image-classification"
    found = metadata["model-index"][0]["results"]
    assert [result["dataset"]["split"] for result in found] == ["test", "field_test"]
    accuracy = results.fine_tuned["test"]["accuracy"]["value"]
    assert found[0]["metrics"][0]["value"] == pytest.approx(accuracy, abs=1e-4)
    assert body.startswith("\n# Panda, cat or other\n")


def test_the_cards_pictures_and_tables_are_whole(place: Path, results: Results) -> None:
    text = card(results)
    linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(linked) == 4
    assert all((place / "reports" / path).is_file() for path in linked)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1


def test_the_card_says_how_to_use_the_model_so_that_it_runs(
    place: Path,
    results: Results,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", card(results), re.DOTALL)
    shutil.copy(Path(__file__).parents[1] / "examples/panda/giant_panda.jpg", place / "photo.jpg")
    monkeypatch.chdir(place)
    exec(program, {})
    assert re.match(r"(panda|cat|other) \{'panda': 0\.\d+, ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("picture", "stage"),
    [("figures/mistakes_fine_tuned", "plots"), ("audit/label_issues", "audit")],
)
@BOTH
def test_a_missing_picture_is_named_with_the_stage_that_draws_it(
    place: Path, results: Results, page: Callable[[Results], str], picture: str, stage: str
) -> None:
    hidden = (place / "plots" / picture).with_suffix(".png").rename(place / "hidden.png")
    try:
        with pytest.raises(
            PandacatError, match=rf"^plots/{picture}\.png is missing: `dvc repro {stage}` draws"
        ):
            page(results)
    finally:
        hidden.rename((place / "plots" / picture).with_suffix(".png"))


def test_a_large_picture_is_embedded_as_a_small_one(
    tmp_path: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(pages.report(results))
    shutil.copytree("plots", tmp_path / "plots")
    noise = Image.effect_noise((600, 600), 90).convert("RGB")
    noise.save(tmp_path / "plots/figures/samples.png")
    monkeypatch.chdir(tmp_path)
    page = pages.report(results)
    assert "data:image/webp;base64," in page
    assert len(page) - before < Path("plots/figures/samples.png").stat().st_size


@pytest.mark.parametrize("labels", [("fox", "other"), ("lion", "red_panda", "cat", "other")])
def test_the_audit_page_is_about_the_labels_of_the_run(labels: Sequence[str]) -> None:
    pairs = list(combinations(labels, 2))
    findings = pd.DataFrame([("blur", *pair, 0.5, 0.4, 0.6) for pair in pairs], columns=FINDING)
    issues = pd.DataFrame(
        [("a|b.jpg", labels[0], "other", "doubtful")],
        columns=["path", "label", "suggested", "reason"],
    )
    duplicates = pd.DataFrame(
        [(1, "a|b.jpg", labels[0], "test"), (1, "c.jpg", "other", "test")],
        columns=["group", "path", "label", "split"],
    )
    made_up = Audit(findings, findings, findings, issues, duplicates)
    page = render("audit.md", audit=made_up, title="made-up photos")
    for first, second in pairs:
        assert f"{first} or {second} |".replace("_", " ") in page
    assert "2 photos have near-duplicates, in 1 group; 1 group with more than one label." in page
    assert "No measured property" in page
    assert "panda" not in page.replace("red panda", "")
    for table in re.findall(r"(?:^\|.*\n)+", page.replace("\\|", ""), re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1
