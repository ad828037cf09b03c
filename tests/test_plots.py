"""Every figure: it is written whole, can be looked at, and is the same bytes each time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import PROBABILITY_COLUMNS
from PIL import Image

from pandacat.evaluation import corruptions
from pandacat.evaluation.predictions import labels_and_probabilities
from pandacat.evaluation.shortcuts import TOGETHER, Finding
from pandacat.labels import LABELS
from pandacat.metrics.accuracy import headline
from pandacat.metrics.intervals import Interval
from pandacat.report.plots import accuracy, network_internals, photos, training_curves
from pandacat.report.plots import reliability as reliability_plots
from pandacat.report.plots.style import DPI, WIDTH, mosaic

NETWORKS = {"scratch": 1.0, "pretrained": 2.5, "fine_tuned": 12.0}
"""By how much the logit of the right label is raised."""


def judged(photos: int = 30, networks: dict[str, float] = NETWORKS) -> pd.DataFrame:
    """Return what made-up networks say of made-up photos."""
    generator = np.random.default_rng(0)
    labels = np.arange(photos) % 3
    tables = []
    for network, skill in networks.items():
        odds = np.exp(generator.normal(size=(photos, 3)) + skill * np.eye(3)[labels])
        table = pd.DataFrame(odds / odds.sum(axis=1, keepdims=True), columns=PROBABILITY_COLUMNS)
        names = [f"photos/{LABELS[label]}_{row}.jpg" for row, label in enumerate(labels)]
        splits = np.array(["train", "validation", "test"])[np.arange(photos) // 3 % 3]
        tables.append(
            table.assign(path=names, label=np.array(LABELS)[labels], split=splits, network=network)
        )
    return pd.concat(tables, ignore_index=True)


JUDGED = judged()
SCRATCH = JUDGED[JUDGED.network == "scratch"]
MAPS = np.random.default_rng(0).random((20, 12, 12), np.float32)


def photo(name: str) -> Image.Image:
    pixels = np.random.default_rng(len(name)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((80, 60))


IMAGES = {name: photo(name) for name in SCRATCH.path}
HEATS = {name: np.linspace(0, 1, 80 * 60).reshape(60, 80) for name in IMAGES}


def samples(path: Path) -> None:
    index = SCRATCH.rename(columns={"path": "name"})
    photos.samples(path, photos.some_of_each(index, 3), IMAGES, drawn=False)


def augmentations(path: Path) -> None:
    digit = np.zeros((28, 28), np.uint8)
    copies = np.full((4, 96, 96, 3), 90, np.uint8)
    rows = [
        photos.Changes("photo", next(iter(IMAGES.values())), copies),
        photos.Changes("digit", digit, [digit] * 4),
    ]
    photos.augmentations(path, rows, drawn=False)


def mistakes(path: Path) -> None:
    photos.mistakes(path, SCRATCH, 6, IMAGES, network="scratch", drawn=False)


def no_mistakes(path: Path) -> None:
    rows = JUDGED[JUDGED.network == "fine_tuned"]
    photos.mistakes(path, rows, 6, {}, network="fine_tuned", drawn=False)


def grad_cam(path: Path) -> None:
    chosen = photos.right_and_wrong(SCRATCH, 3)
    photos.grad_cam(path, chosen, IMAGES, HEATS, network="scratch", drawn=False)


def contact_sheet(path: Path) -> None:
    label_issues = SCRATCH.head(8).assign(reason="labeled cat, but other is likelier")
    photos.contact_sheet(path, label_issues, IMAGES, title="Suspects", drawn=False)


def filters_of_digits(path: Path) -> None:
    network_internals.filters(
        path, MAPS[:, :1, :9].reshape(20, 1, 3, 3) - 0.5, title="Digits", drawn=False
    )


def filters_of_photos(path: Path) -> None:
    weights = MAPS[:, :3, :9].reshape(20, 3, 3, 3) - 0.5
    network_internals.filters(path, weights, title="Photos", drawn=False)


def feature_maps(path: Path) -> None:
    stages = [MAPS, MAPS[:5, ::2, ::2]]
    answer = {"panda": 0.7, "cat": 0.2, "other": 0.1}
    picture = np.zeros((96, 96, 3), np.uint8)
    network_internals.feature_maps(path, picture, stages, answer, title="A panda", drawn=False)


def curves(path: Path) -> None:
    table = pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "train_loss": [None, 0.6, 0.3],
            "validation_loss": [1.1, 0.5, 0.55],
            "validation_accuracy": [0.3, 0.8, 0.79],
        }
    )
    training_curves.curves(path, {"digits": table, "photos": table}, drawn=False)


def confusions(path: Path) -> None:
    accuracy.confusions(path, JUDGED, title="Confusion", drawn=False)


def rocs(path: Path) -> None:
    accuracy.rocs(path, JUDGED, title="ROC", drawn=False)


def headlines(path: Path) -> None:
    found = {}
    for network, rows in JUDGED.groupby("network", sort=False):
        labels, probabilities = labels_and_probabilities(rows)
        found[network] = headline(labels, probabilities, probabilities.argmax(axis=1), seed=0)
    accuracy.headline(path, {"test": found, "field_test": found}, drawn=False)


def reliability(path: Path) -> None:
    reliability_plots.reliability(path, JUDGED, title="Reliability", drawn=False)


def risk_coverage(path: Path) -> None:
    reliability_plots.risk_coverage(path, JUDGED, title="Risk", drawn=False)


def open_set_scores(path: Path) -> None:
    reliability_plots.open_set_scores(path, JUDGED, title="Neither?", drawn=False)


def accuracies(by: str, values: Sequence[object]) -> pd.DataFrame:
    rows = [(network, value) for network in NETWORKS for value in values]
    table = pd.DataFrame(rows, columns=["network", by])
    for measure, share in (("two_class_accuracy", 0.9), ("accuracy", 0.7)):
        bounds = {measure: share, f"{measure}_low": share - 0.1, f"{measure}_high": share + 0.05}
        table = table.assign(**bounds)
    return table


def robustness(path: Path) -> None:
    by_severity = accuracies("severity", (0, 1, 3, 5))
    by_corruption = accuracies("corruption", corruptions.CORRUPTIONS)
    reliability_plots.robustness(path, by_severity, by_corruption, title="Robustness", drawn=False)


def flips(path: Path) -> None:
    rows = [(network, label, 0.1, 0.0, 0.3) for network in NETWORKS for label in (*LABELS, "all")]
    table = pd.DataFrame(rows, columns=["network", "label", "changed", "low", "high"])
    reliability_plots.changed_predictions(path, table, title="Flips", drawn=False)


def shortcuts(path: Path) -> None:
    findings = [
        Finding(TOGETHER, "panda", "cat", Interval(0.99, 0.9, 1.0)),
        Finding("quantization", "cat", "other", Interval(0.45, 0.3, 0.6)),
    ]
    reliability_plots.shortcuts(path, findings, title="Shortcuts", drawn=False)


FIGURES = [
    samples, augmentations, mistakes, no_mistakes, grad_cam, contact_sheet, filters_of_digits,
    filters_of_photos, feature_maps, curves, confusions, rocs, headlines, reliability,
    risk_coverage, open_set_scores, robustness, flips, shortcuts,
]  # fmt: skip


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_is_a_whole_png_and_the_same_bytes_whatever_the_users_style(draw, tmp_path):
    draw(tmp_path / "first.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        draw(tmp_path / "second.png")

    with Image.open(tmp_path / "first.png") as image:
        image.load()
        assert image.format == "PNG"
        assert image.width == round(WIDTH * DPI)
        assert 100 < image.height < 1200
        assert image.convert("L").getextrema() == pytest.approx((0, 255), abs=60)
        assert "Software" not in image.info
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"first.png", "second.png"}


def test_drawn_pictures_are_said_to_be_drawn(tmp_path):
    def ink_at_the_foot(*, drawn: bool) -> int:
        path = tmp_path / "figure.png"
        photos.mistakes(path, SCRATCH.head(0), 6, {}, network="scratch", drawn=drawn)
        return int((np.asarray(Image.open(path).convert("L"))[-25:] < 200).sum())

    assert ink_at_the_foot(drawn=False) == 0
    assert ink_at_the_foot(drawn=True) > 200


def test_some_of_each_takes_all_where_there_are_few_and_spreads_where_there_are_many():
    index = pd.DataFrame(
        {"name": range(12), "label": ["cat"] * 10 + ["panda"] * 2, "split": "test"}
    )

    chosen = photos.some_of_each(index, 3)

    assert chosen[chosen.label == "panda"].name.tolist() == [10, 11]
    assert chosen[chosen.label == "cat"].name.tolist() == [1, 5, 8]


def test_the_worst_mistakes_are_the_wrong_verdicts_the_most_sure_of_them_first():
    table = pd.DataFrame(
        [("a", "cat", 0.6, 0.3, 0.1), ("b", "cat", 0.1, 0.9, 0.0), ("c", "panda", 0.1, 0.9, 0.0),
         ("d", "other", 0.0, 0.55, 0.45)],
        columns=["path", "label", *PROBABILITY_COLUMNS],
    )  # fmt: skip

    assert photos.worst_mistakes(table, 5).path.tolist() == ["c", "a", "d"]
    assert photos.worst_mistakes(table, 1).path.tolist() == ["c"]
    assert photos.right_and_wrong(table, 2).path.tolist() == ["b", "c", "a"]


def test_a_verdict_in_the_table_counts_more_than_the_most_probable_label():
    table = SCRATCH.head(3).assign(verdict=["panda", "cat", "other"])

    assert accuracy.confusion_table(table).to_dict("list") == {
        "actual": ["panda", "cat", "other"],
        "predicted": ["panda", "cat", "other"],
    }


def test_the_roc_table_of_five_photos_worked_out_by_hand():
    table = pd.DataFrame(
        [("panda", 0.9, 0.1, 0.0), ("panda", 0.2, 0.6, 0.2), ("cat", 0.4, 0.5, 0.1),
         ("cat", 0.1, 0.8, 0.1), ("other", 0.0, 0.1, 0.9)],
        columns=["label", *PROBABILITY_COLUMNS],
    )  # fmt: skip

    curve = accuracy.roc_table(table, "panda_or_cat")

    points = list(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    assert points == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    neither = accuracy.roc_table(table, "known_or_other")
    assert (0, 1) in set(zip(neither.false_positive_rate, neither.true_positive_rate, strict=True))
    assert accuracy.roc_table(table[table.label == "panda"], "panda_or_cat").empty


@pytest.mark.parametrize(
    "draw",
    [
        accuracy.confusions,
        accuracy.rocs,
        reliability_plots.reliability,
        reliability_plots.risk_coverage,
        reliability_plots.open_set_scores,
    ],
)
@pytest.mark.parametrize("missing", [("other",), ("panda", "cat")])
def test_a_label_without_photos_leaves_a_figure_that_can_be_drawn(draw, missing, tmp_path):
    draw(tmp_path / "figure.png", JUDGED[~JUDGED.label.isin(missing)], title="Few", drawn=False)

    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_nothing_found_is_a_figure_too(tmp_path):
    reliability_plots.shortcuts(tmp_path / "shortcuts.png", [], title="Shortcuts", drawn=False)
    none = SCRATCH.head(0).assign(reason="")
    photos.contact_sheet(tmp_path / "sheet.png", none, {}, title="Suspects", drawn=False)

    assert all((tmp_path / name).exists() for name in ("shortcuts.png", "sheet.png"))


def test_a_figure_that_fails_leaves_the_one_from_before(tmp_path):
    path = tmp_path / "mistakes.png"
    mistakes(path)
    before = path.read_bytes()

    with pytest.raises(KeyError):
        photos.mistakes(path, SCRATCH, 6, {}, network="scratch", drawn=False)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_mosaic_puts_tiles_in_rows_and_fills_the_last():
    tiles = [np.full((1, 1), value) for value in (1, 2, 3)]

    assert mosaic(tiles, 2, gap=1, blank=0).tolist() == [[1, 0, 2], [0, 0, 0], [3, 0, 0]]
