"""The report and the model card say what the stages found, and nothing else."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS
from PIL import Image
from ruamel.yaml import YAML

from pandacat.config.loading import load_config
from pandacat.evaluation.shortcuts import Finding
from pandacat.metrics.intervals import Interval
from pandacat.models.saved import ConformalThresholds
from pandacat.report import pages, templating
from pandacat.report.pages import Facts

SHARE = {"value": 0.625, "low": 0.5125, "high": 0.7375}
TRAP = Finding("quantization", "panda", "cat", Interval(0.993, 0.981, 0.998))
PICTURES = ("samples", "reliability_test", "mistakes_fine_tuned", "robustness")
VOID = {"meta", "img", "rect", "circle"}
"""Elements that are never closed, or that close themselves."""


@pytest.fixture(scope="module")
def place(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace, with digits, robustness and figures of its own."""
    folder = tmp_path_factory.mktemp("report") / "place"
    shutil.copytree(workspace, folder)
    shutil.rmtree(folder / "plots/figures")
    digits = {"test": {"accuracy": 0.9876, "low": 0.985, "high": 0.99, "errors": 124}}
    (folder / "metrics/train_scratch_mnist.json").write_text(json.dumps(digits))
    measured = json.loads((folder / "metrics/evaluate.json").read_text())
    robustness = {
        name: {"corrupted": {"accuracy": SHARE}, "changed_when_recompressed": SHARE}
        for name in measured["test"]
    }
    (folder / "metrics/robustness.json").write_text(json.dumps({"test": robustness}))
    corrupted = pd.DataFrame(
        [
            {
                "network": name,
                "corruption": kind,
                "severity": 3,
                "photos": 4,
                "accuracy": accuracy,
            }
            for name in measured["test"]
            for kind, accuracy in (("fog", 0.75), ("shot_noise", 0.25))
        ]
    )
    corrupted.to_csv(folder / "plots/corruptions.csv", index=False)
    (folder / "plots/figures").mkdir()
    for name in PICTURES:
        Image.new("RGB", (40, 30)).save(folder / f"plots/figures/{name}.png")
    return folder


@pytest.fixture
def facts(place: Path, monkeypatch: pytest.MonkeyPatch) -> Facts:
    monkeypatch.chdir(place)
    return pages.gather(load_config().fine_tune)


def card(facts: Facts) -> str:
    return pages.model_card(facts, Path("reports"))


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


def test_the_stage_writes_both(place: Path, facts: Facts) -> None:
    from conftest import run_stage

    run_stage("report")
    assert (place / "reports/report.html").read_text() == pages.report(facts)
    assert (place / "reports/model_card.md").read_text() == card(facts)


def test_the_report_is_one_well_formed_file_that_loads_nothing_from_elsewhere(facts: Facts) -> None:
    page = elements(pages.report(facts))
    assert page.open == []
    for tag, attributes in page.found:
        assert tag not in ("script", "link", "iframe")
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith("#")


def test_every_picture_says_in_words_what_it_is_and_every_link_leads_somewhere(
    facts: Facts,
) -> None:
    page = elements(pages.report(facts))
    pictures = [attributes for tag, attributes in page.found if tag == "img"]
    assert len(pictures) == len(PICTURES) + 3  # of the audit
    assert all(attributes["alt"] for attributes in pictures)
    places = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    assert links
    assert {f"#{name}" for name in places} >= set(links)


@BOTH
def test_figures_come_from_what_was_measured(facts: Facts, page: Callable[[Facts], str]) -> None:
    assert "62.5 %" in page(facts)  # the robustness that was made up above
    told = page(facts)
    for where, networks in facts.measured.items():
        changed = json.loads(json.dumps(facts.measured))
        changed[where]["fine_tuned"]["accuracy"] = {
            "value": 0.1234,
            "low": 0.1111,
            "high": 0.1357,
        }
        assert "12.3 %" not in told
        assert "12.3 %" in page(replace(facts, measured=changed))
        share = networks["pretrained"]["accuracy"]["value"]
        assert templating.percent(share) in told


@BOTH
def test_photos_from_elsewhere_are_told_apart_and_their_absence_is_a_limit(
    facts: Facts, page: Callable[[Facts], str]
) -> None:
    assert "photos from elsewhere" in page(facts)
    assert "has not been measured on photos from elsewhere" not in page(facts)
    inside = replace(
        facts,
        measured={"test": facts.measured["test"]},
        judged={"test": facts.judged["test"]},
    )
    assert "has not been measured on photos from elsewhere" in page(inside)


@BOTH
def test_what_the_photos_cannot_tell_is_left_out(
    facts: Facts, page: Callable[[Facts], str]
) -> None:
    measured = json.loads(json.dumps(facts.measured))
    for networks in measured.values():
        for figures in networks.values():
            figures["photos"]["other"] = 0
            for missing in ("open_set", "open_set_scores", "fine_tuned_difference"):
                figures.pop(missing, None)
            figures["per_class"].pop("other")
            figures["per_class"]["cat"].pop("precision", None)
    judged = {where: table[table.label != "other"] for where, table in facts.judged.items()}
    assert "others that pass" in page(facts)
    assert "other things let pass" not in page(replace(facts, measured=measured, judged=judged))


@BOTH
def test_drawings_are_called_drawings_and_photographs_are_not(
    facts: Facts, page: Callable[[Facts], str]
) -> None:
    photographs = replace(facts, origin=replace(facts.origin, drawn=False))
    assert "It has been fine-tuned and tested on drawings." in page(facts)
    assert "drawings" not in page(photographs)


@BOTH
def test_a_warning_of_the_audit_is_passed_on_only_where_there_is_one(
    facts: Facts, page: Callable[[Facts], str]
) -> None:
    (warning,) = replace(facts, shortcuts=[TRAP]).warnings
    assert "99.3 %" in warning
    assert warning in page(replace(facts, shortcuts=[TRAP]))
    assert "The audit of the data gives 1 warning" in page(replace(facts, shortcuts=[TRAP]))
    assert "The audit of the data gives" not in page(facts)


@BOTH
def test_an_unknown_licence_is_not_passed_over(facts: Facts, page: Callable[[Facts], str]) -> None:
    unknown = replace(facts, origin=replace(facts.origin, license="unknown"))
    assert "not stated: ask" in page(unknown)
    assert "not stated: ask" not in page(facts)


def test_mistakes_are_counted_by_label_and_verdict_the_most_frequent_first() -> None:
    labels, verdicts = ["cat"] * 4 + ["panda"], ["other", "other", "panda", "cat", "panda"]
    judged = pd.DataFrame({"label": labels, "verdict": verdicts, "network": "fine_tuned"})
    assert pages.mistakes(judged) == [
        "2 of 4 photos labeled cat were taken for other",
        "1 of 4 photos labeled cat was taken for panda",
    ]


def test_answers_name_all_that_cannot_be_ruled_out() -> None:
    judged = pd.DataFrame(
        [
            ("panda", 0.9, 0.0, 0.1),
            ("panda", 0.4, 0.35, 0.25),
            ("cat", 0.35, 0.05, 0.6),
            ("other", 0.1, 0.2, 0.7),
        ],
        columns=["label", *PROBABILITY_COLUMNS],
    ).assign(network="fine_tuned")
    panda, cat, other = pages.answers(judged, [0.3, 0.3])
    assert (panda["panda"], panda["panda or cat"], panda["named"]["value"]) == (1, 1, 1)
    assert (cat["panda"], cat["named"]["value"]) == (1, 0)
    assert (other["neither"], other["named"]["value"]) == (1, 1)


def promising(facts: Facts, conformal: ConformalThresholds | None) -> Facts:
    description = replace(facts.model.description, conformal=conformal)
    return replace(facts, model=replace(facts.model, description=description))


@BOTH
def test_a_promise_is_told_where_the_network_makes_one(
    facts: Facts, page: Callable[[Facts], str]
) -> None:
    assert "--prediction-sets" in page(facts)
    assert "87 %" in page(promising(facts, ConformalThresholds(0.87, (0.3, 0.3))))
    assert "--prediction-sets" not in page(promising(facts, None))


def test_the_hardest_corruption_comes_first(facts: Facts) -> None:
    assert pages.hardest_corruptions(facts.corrupted) == [
        "shot noise (1 of 4)",
        "fog (3 of 4)",
    ]


@pytest.mark.parametrize(
    ("untouched", "ours", "difference", "verdict"),
    [
        ((0.8, 0.7, 0.85), (0.9, 0.88, 0.95), None, "clearly better"),
        ((0.9, 0.88, 0.95), (0.8, 0.7, 0.85), None, "clearly worse"),
        ((0.8, 0.7, 0.9), (0.85, 0.75, 0.95), None, "no clear difference"),
        ((0.8, 0.7, 0.9), (0.85, 0.75, 0.95), (0.01, 0.09), "clearly better"),
    ],
)
def test_fine_tuning_is_called_better_only_where_that_is_sure(
    facts: Facts,
    untouched: tuple[float, float, float],
    ours: tuple[float, float, float],
    difference: tuple[float, float] | None,
    verdict: str,
) -> None:
    measured = json.loads(json.dumps(facts.measured))
    for name, figure in (("pretrained", untouched), ("fine_tuned", ours)):
        share = dict(zip(("value", "low", "high"), figure, strict=True))
        measured["test"][name]["accuracy"] = share
    measured["test"]["pretrained"].pop("fine_tuned_difference", None)
    if difference:
        share = {"value": 0.05, "low": difference[0], "high": difference[1]}
        measured["test"]["pretrained"]["fine_tuned_difference"] = {"accuracy": share}
    sentences = pages.summary(replace(facts, measured=measured))
    assert verdict in next(text for text in sentences if text.startswith("Before fine-tuning"))


def test_names_from_an_archive_cannot_break_the_page(facts: Facts) -> None:
    label_issues = facts.label_issues.assign(path="<script>alert(1)</script>|x.jpg")
    page = pages.report(replace(facts, label_issues=label_issues))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_card_opens_with_metadata_that_hubs_can_read(facts: Facts) -> None:
    _, head, body = card(facts).split("---\n", 2)
    told = YAML(typ="safe", pure=True).load(head)
    assert told["license"] == "apache-2.0"
    assert told["pipeline_tag"] == "image-classification"
    results = told["model-index"][0]["results"]
    assert [result["dataset"]["split"] for result in results] == ["test", "field_test"]
    found = facts.ours["test"]["accuracy"]["value"]
    assert results[0]["metrics"][0]["value"] == pytest.approx(found, abs=1e-4)
    assert body.startswith("\n# Panda, cat, or neither\n")


def test_the_cards_pictures_and_tables_are_whole(place: Path, facts: Facts) -> None:
    text = card(facts)
    linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(linked) == 4
    assert all((place / "reports" / path).is_file() for path in linked)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1


def test_the_card_tells_how_to_use_the_model_so_that_it_runs(
    place: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", card(facts), re.DOTALL)
    shutil.copy(Path(__file__).parents[1] / "examples/panda.jpg", place / "photo.jpg")
    monkeypatch.chdir(place)
    exec(program, {})
    assert re.match(r"(panda|cat|other) \(0\.\d+, ", capsys.readouterr().out)


def test_a_large_picture_is_embedded_as_a_small_one(tmp_path: Path, facts: Facts) -> None:
    noise = Image.effect_noise((600, 600), 90).convert("RGB")
    noise.save(tmp_path / "samples.png")
    told = replace(facts, pictures={**facts.pictures, "samples": tmp_path / "samples.png"})
    page = pages.report(told)
    assert "data:image/webp;base64," in page
    assert len(page) < (tmp_path / "samples.png").stat().st_size
