"""Every plot: written whole, legible, about the labels there are, and the same bytes each time."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pandacat.evaluation import corruptions
from pandacat.evaluation.compare import compare_networks, evaluate
from pandacat.evaluation.shortcuts import TOGETHER
from pandacat.report.plots import (
    audit,
    evaluation,
    photos,
    robustness,
    training,
)
from pandacat.report.plots.style import DPI, WIDTH, Canvas, label_colors, mosaic

LABELS = ("panda", "cat", "other")
LABEL_SETS = [("fox", "other"), LABELS, ("panda", "red_panda", "cat", "other")]
NETWORKS = {"scratch": 1.0, "pretrained": 2.5, "fine_tuned": 12.0}
"""By how much the logit of the true label is raised."""

FINDING = ["property", "first", "second", "value", "low", "high"]
MAPS = np.random.default_rng(0).random((20, 12, 12), np.float32)


def made_up(labels: Sequence[str] = LABELS, photo_count: int = 30) -> pd.DataFrame:
    """Return what made-up networks predict for made-up photos."""
    generator = np.random.default_rng(0)
    size = len(labels)
    truth = np.arange(photo_count) % size
    tables = []
    for network, skill in NETWORKS.items():
        odds = np.exp(generator.normal(size=(photo_count, size)) + skill * np.eye(size)[truth])
        columns = [f"p_{label}" for label in labels]
        table = pd.DataFrame(odds / odds.sum(axis=1, keepdims=True), columns=columns)
        names = [f"photos/{row}.jpg" for row in range(photo_count)]
        splits = np.array(["train", "validation", "test"])[np.arange(photo_count) // size % 3]
        tables.append(
            table.assign(path=names, label=np.array(labels)[truth], split=splits, network=network)
        )
    return pd.concat(tables, ignore_index=True)


def metrics_of(predictions: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return evaluate(predictions, compare_networks(predictions, seed=0), seed=0)


PREDICTIONS = made_up()
SCRATCH = PREDICTIONS[PREDICTIONS.network == "scratch"]


def load(names: Iterable[str]) -> dict[str, Image.Image]:
    """Return a photo for each name."""

    def photo(name: str) -> Image.Image:
        pixels = np.random.default_rng(len(name)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        return Image.fromarray(pixels).resize((80, 60))

    return {name: photo(name) for name in names}


def samples(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    index = made_up(labels).head(30).rename(columns={"path": "name"})
    photos.samples(canvas, index, labels, load)


def augmentations(canvas: Canvas) -> None:
    digit = np.zeros((28, 28), np.uint8)
    copies = list(np.full((4, 96, 96, 3), 90, np.uint8))
    photo = load(["photo"])["photo"]
    photos.augmentations(canvas, {"photo": (photo, copies), "digit": (digit, [digit] * 4)})


def mistakes(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    table = made_up(labels)
    photos.mistakes(canvas, table[table.network == "scratch"], 6, load)


def no_mistakes(canvas: Canvas) -> None:
    photos.mistakes(canvas, PREDICTIONS[PREDICTIONS.network == "fine_tuned"], 6, load)


def grad_cam(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    table = made_up(labels)
    heat = np.linspace(0, 1, 80 * 60).reshape(60, 80)
    photos.draw_grad_cam(canvas, table[table.network == "scratch"], load, lambda _, label: heat)


def contact_sheet(canvas: Canvas) -> None:
    label_issues = SCRATCH.head(8).assign(reason="labeled cat, but other is likelier")
    audit.contact_sheet(canvas, label_issues, load)


def filters_of_digits(canvas: Canvas) -> None:
    training.filters(canvas, MAPS[:, :1, :9].reshape(20, 1, 3, 3) - 0.5)


def filters_of_photos(canvas: Canvas) -> None:
    training.filters(canvas, MAPS[:, :3, :9].reshape(20, 3, 3, 3) - 0.5)


def feature_maps(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    stages = [MAPS, MAPS[:5, ::2, ::2]]
    probabilities = dict(zip(labels, (0.7, 0.1, 0.1, 0.1), strict=False))
    picture = np.zeros((96, 96, 3), np.uint8)
    training.feature_maps(canvas, picture, stages, probabilities)


def curves(canvas: Canvas) -> None:
    table = pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "train_loss": [None, 0.6, 0.3],
            "validation_loss": [1.1, 0.5, 0.55],
            "validation_accuracy": [0.3, 0.8, 0.79],
        }
    )
    training.curves(canvas, {"digits": table, "photos": table})


def confusions(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    evaluation.confusions(canvas, metrics_of(made_up(labels)))


def rocs(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    evaluation.rocs(canvas, made_up(labels), metrics_of(made_up(labels)))


def headline(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    metrics = metrics_of(made_up(labels))
    evaluation.headline(canvas, {"test": metrics, "field_test": metrics})


def reliability(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    evaluation.reliability(canvas, made_up(labels), metrics_of(made_up(labels)))


def risk_coverage(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    evaluation.risk_coverage(canvas, made_up(labels))


def open_set_scores(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    evaluation.open_set_scores(canvas, made_up(labels), metrics_of(made_up(labels)))


def accuracies(by: str, values: Sequence[object], labels: Sequence[str]) -> pd.DataFrame:
    rows = [(network, value) for network in NETWORKS for value in values]
    table = pd.DataFrame(rows, columns=["network", by])
    measures = {"accuracy": 0.7} | ({"two_class_accuracy": 0.9} if len(labels) == 3 else {})
    for measure, share in measures.items():
        bounds = {measure: share, f"{measure}_low": share - 0.1, f"{measure}_high": share + 0.05}
        table = table.assign(**bounds)
    return table


def accuracy_on_corrupted_photos(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    by_severity = accuracies("severity", (0, 1, 3, 5), labels)
    by_corruption = accuracies("corruption", corruptions.CORRUPTIONS, labels)
    robustness.robustness(canvas, by_severity, by_corruption, labels)


def changed_predictions(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    rows = [(network, label, 0.1, 0.0, 0.3) for network in NETWORKS for label in (*labels, "all")]
    columns = ["network", "label", "changed", "low", "high"]
    robustness.changed_predictions(canvas, pd.DataFrame(rows, columns=columns).assign(quality=61))


def properties_of_files(canvas: Canvas, labels: Sequence[str] = LABELS) -> None:
    rows = [
        (TOGETHER, labels[0], labels[1], 0.99, 0.9, 1.0),
        ("quantization", labels[-2], "other", 0.45, 0.3, 0.6),
    ]
    audit.shortcuts(canvas, pd.DataFrame(rows, columns=FINDING), labels)


OF_LABELS = [
    samples, mistakes, grad_cam, feature_maps, confusions, rocs, headline, reliability,
    risk_coverage, open_set_scores, accuracy_on_corrupted_photos, changed_predictions,
    properties_of_files,
]  # fmt: skip
OTHERS = [
    augmentations, no_mistakes, contact_sheet, filters_of_digits, filters_of_photos, curves,
]  # fmt: skip


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """All figures that are saved from now on."""
    saved: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *args: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def the_file_in(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("draw", [*OF_LABELS, *OTHERS])
def test_a_plot_is_a_whole_png_and_the_same_bytes_whatever_the_users_style(draw, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    draw(Canvas(tmp_path / "first"))
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        draw(Canvas(tmp_path / "second"))

    first, second = the_file_in(tmp_path / "first"), the_file_in(tmp_path / "second")
    with Image.open(first) as image:
        image.load()
        assert image.format == "PNG"
        assert image.width == round(WIDTH * DPI)
        assert 100 < image.height < 1200
        assert image.convert("L").getextrema() == pytest.approx((0, 255), abs=60)
        assert "Software" not in image.info
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("labels", LABEL_SETS, ids=len)
@pytest.mark.parametrize("draw", OF_LABELS)
def test_a_plot_is_about_the_labels_of_the_run_and_has_no_empty_panel(
    draw, labels, tmp_path, figures
):
    draw(Canvas(tmp_path), labels)

    (figure,) = figures
    written = texts(figure)
    absent = {"panda", "cat", "fox", "red panda"} - {label.replace("_", " ") for label in labels}
    assert not any(label in written.replace("red panda", "") for label in absent - {"red panda"})
    assert "red_panda" not in written
    if draw not in (risk_coverage, reliability):
        assert "red panda" in written or "red_panda" not in labels
    for axes in figure.axes:
        assert not axes.axison or axes.has_data() or draw in (samples, grad_cam)
    assert the_file_in(tmp_path).stat().st_size > 1000


@pytest.mark.parametrize("labels", LABEL_SETS, ids=len)
@pytest.mark.parametrize("draw", [rocs, headline, accuracy_on_corrupted_photos])
def test_two_labels_are_compared_only_where_there_are_two(draw, labels, tmp_path, figures):
    draw(Canvas(tmp_path), labels)

    assert ("panda or cat?" in texts(figures[0])) == (labels == LABELS)


@pytest.mark.parametrize("labels", LABEL_SETS, ids=len)
def test_every_label_has_a_color_of_its_own_and_the_first_two_and_other_keep_theirs(labels):
    colors = label_colors(labels)

    assert list(colors) == list(labels)
    assert len(set(colors.values())) == len(labels)
    assert (colors[labels[0]], colors["other"]) == ("#30363d", "#7fb8e0")
    assert len(labels) == 2 or colors[labels[1]] == "#e69f00"


def test_drawn_pictures_are_said_to_be_drawn(tmp_path):
    def ink_at_the_foot(*, drawn: bool) -> int:
        no_mistakes(Canvas(tmp_path, drawn))
        pixels = np.asarray(Image.open(the_file_in(tmp_path)).convert("L"))
        return int((pixels[-25:] < 200).sum())

    assert ink_at_the_foot(drawn=False) == 0
    assert ink_at_the_foot(drawn=True) > 200


def test_some_of_each_takes_all_where_there_are_few_and_spreads_where_there_are_many():
    index = pd.DataFrame(
        {"name": range(12), "label": ["cat"] * 10 + ["panda"] * 2, "split": "test"}
    )

    chosen = photos.some_of_each(index, 3)

    assert chosen[chosen.label == "panda"].name.tolist() == [10, 11]
    assert chosen[chosen.label == "cat"].name.tolist() == [1, 5, 8]


def test_the_worst_mistakes_are_the_wrong_predictions_the_most_confident_first():
    table = pd.DataFrame(
        [("a", "cat", 0.6, 0.3, 0.1), ("b", "cat", 0.1, 0.9, 0.0), ("c", "panda", 0.1, 0.9, 0.0),
         ("d", "other", 0.0, 0.55, 0.45)],
        columns=["path", "label", "p_panda", "p_cat", "p_other"],
    )  # fmt: skip

    assert photos.worst_mistakes(table).path.tolist() == ["c", "a", "d"]
    assert photos.correct_and_wrong(table, 1).path.tolist() == ["b", "c"]
    assert photos.correct_and_wrong(table, 2).path.tolist() == ["b", "c", "a"]


def test_the_confusion_table_has_a_row_for_each_photo():
    table = pd.DataFrame(
        [("panda", 0.9, 0.1, 0.0), ("panda", 0.2, 0.3, 0.5), ("other", 0.1, 0.8, 0.1)],
        columns=["label", "p_panda", "p_cat", "p_other"],
    )

    assert evaluation.confusion_table(table).to_dict("list") == {
        "actual": ["panda", "panda", "other"],
        "predicted": ["panda", "other", "cat"],
    }


def test_the_roc_table_of_five_photos_worked_out_by_hand():
    table = pd.DataFrame(
        [("panda", 0.9, 0.1, 0.0), ("panda", 0.2, 0.6, 0.2), ("cat", 0.4, 0.5, 0.1),
         ("cat", 0.1, 0.8, 0.1), ("other", 0.0, 0.1, 0.9)],
        columns=["label", "p_panda", "p_cat", "p_other"],
    )  # fmt: skip

    curve = evaluation.roc_table(table, "pair")

    points = list(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    assert points == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    other = evaluation.roc_table(table, "open_set")
    assert (0, 1) in set(zip(other.false_positive_rate, other.true_positive_rate, strict=True))
    assert evaluation.roc_table(table[table.label == "panda"], "pair").empty


@pytest.mark.parametrize("missing", [("other",), ("panda", "cat")])
def test_a_label_without_photos_leaves_plots_that_can_be_drawn(missing, tmp_path):
    few = PREDICTIONS[~PREDICTIONS.label.isin(missing)]
    metrics, canvas = metrics_of(few), Canvas(tmp_path)

    evaluation.confusions(canvas, metrics)
    evaluation.rocs(canvas, few, metrics)
    evaluation.open_set_scores(canvas, few, metrics)
    evaluation.reliability(canvas, few, metrics)
    evaluation.risk_coverage(canvas, few)

    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 5
    assert min(sizes) > 1000


def test_nothing_found_is_a_plot_too(tmp_path):
    audit.shortcuts(Canvas(tmp_path), pd.DataFrame(columns=FINDING), LABELS)
    audit.contact_sheet(Canvas(tmp_path), SCRATCH.head(0).assign(reason=""), load)

    assert {path.name for path in tmp_path.iterdir()} == {"shortcuts.png", "label_issues.png"}


def test_a_plot_that_fails_leaves_the_one_from_before(tmp_path):
    mistakes(Canvas(tmp_path))
    path = the_file_in(tmp_path)
    before = path.read_bytes()

    with pytest.raises(KeyError):
        photos.mistakes(Canvas(tmp_path), SCRATCH, 6, lambda names: {})

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_mosaic_puts_tiles_in_rows_and_fills_the_last():
    tiles = [np.full((1, 1), value) for value in (1, 2, 3)]

    assert mosaic(tiles, 2, gap=1, blank=0).tolist() == [[1, 0, 2], [0, 0, 0], [3, 0, 0]]
