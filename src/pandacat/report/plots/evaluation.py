"""What networks predict on one set of photos, and how far that can be relied on."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import logit
from sklearn.metrics import roc_curve

from pandacat.evaluation import predictions as tables
from pandacat.labels import listed
from pandacat.metrics import calibration, open_set
from pandacat.metrics.accuracy import pair_scores
from pandacat.report.formatting import network_name, percent, questions
from pandacat.report.plots import style
from pandacat.report.plots.style import Canvas, in_percent, network_styles

Metrics = Mapping[str, Mapping[str, Any]]
"""By network, the figures of one set of photos in `metrics/evaluate.json`."""

Question = Literal["pair", "open_set"]
"""Which of two labels a photo shows; whether it shows any in-distribution label."""

SCORE_TICKS = (0.0001, 0.01, 0.5, 0.99, 0.9999)
SCORE_EDGES = np.linspace(-10, 10, 41)
"""In log-odds; scores beyond fall into the outermost bins."""
RISK_TICKS = np.array([0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1])


def plot_predictions(
    folder: Path, dataset: str, predictions: pd.DataFrame, metrics: Metrics, *, drawn: bool
) -> None:
    """Draw confusion, ROC, open-set scores, reliability and risk of one set of photos."""
    note = f" ({dataset.replace('_', ' ')}, {predictions.path.nunique()} photos)"
    canvas = Canvas(folder, drawn, f"_{dataset}", note)
    confusions(canvas, metrics)
    rocs(canvas, predictions, metrics)
    open_set_scores(canvas, predictions, metrics)
    reliability(canvas, predictions, metrics)
    risk_coverage(canvas, predictions)


def confusion_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return `actual` and `predicted`, a row a photo, for DVC's template `confusion`."""
    predicted = np.array(tables.label_names(predictions))[tables.predicted_labels(predictions)]
    return pd.DataFrame({"actual": predictions.label.to_numpy(), "predicted": predicted})


def confusions(canvas: Canvas, metrics: Metrics) -> None:
    """Draw `confusion`: the confusion matrix of each network, side by side."""
    height = 1.4 + 8.4 / max(3, len(metrics))
    with canvas.figure("confusion", "Confusion matrices and accuracy", height) as drawing:
        row = drawing.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        for axes, (network, figures) in zip(row, metrics.items(), strict=True):
            _matrix(axes, pd.DataFrame(figures["confusion"]).T)
            accuracy = percent(figures["accuracy"]["value"])
            axes.set(title=f"{network_name(network)}\n{accuracy}", xlabel="prediction")
        row[0].set_ylabel("label")


def _matrix(axes: Axes, table: pd.DataFrame) -> None:
    counts, names = table.to_numpy(), [listed([label]) for label in table.columns]
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    scale = min(1, 3 / len(names))
    style.name_rows(axes, names)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        color = "white" if share > 0.6 else style.INK if count else style.PALE
        centered: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
        axes.text(column, row - 0.08, str(count), size=13 * scale, weight="bold", **centered)
        axes.text(column, row + 0.26, percent(share), size=8 * scale, **centered)
    rotation = 45 if len("".join(names)) > 18 else 0
    axes.set_xticks(range(len(names)), names, rotation=rotation)
    axes.tick_params(length=0, labelcolor=style.INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def headline(canvas: Canvas, metrics: Mapping[str, Metrics]) -> None:
    """Draw `headline`: the accuracies of all networks on each set of photos, with intervals."""
    networks = network_styles(metrics["test"])
    asked = questions(list(metrics["test"][next(iter(networks))]["photos"]))
    height = 1.2 + len(networks) * (0.3 + 0.3 * len(metrics))
    with canvas.figure("headline", "Accuracy with 95 % intervals", height) as drawing:
        panels = drawing.subplots(1, len(asked), squeeze=False, sharey=True)[0]
        for axes, (measure, question) in zip(panels, asked.items(), strict=True):
            lowest = 1.0
            for (place, photos), (row, network) in product(enumerate(metrics), enumerate(networks)):
                share = metrics[photos][network].get(measure)
                if share is None:
                    continue
                y = row + 0.7 * ((place + 0.5) / len(metrics) - 0.5)
                color, marker, _ = networks[network]
                axes.plot([share["low"], share["high"]], [y, y], color=color, linewidth=2.5)
                dot = {"color": color, "mec": color, "mfc": "white" if place else color}
                axes.plot(share["value"], y, marker, markersize=8, mew=2, **dot)
                words = f"{photos.replace('_', ' ')} {percent(share['value'])}  "
                axes.text(share["low"], y, words, ha="right", va="center")
                lowest = min(lowest, share["low"])
            axes.set(title=question, xlim=(1.7 * lowest - 0.7, 1.04 - 0.04 * lowest))
            axes.locator_params(axis="x", nbins=6)
            in_percent(axes.xaxis)
            style.name_rows(axes, [network_name(network) for network in networks])
            axes.tick_params(axis="y", labelsize=10)
            axes.spines["left"].set_visible(False)


def roc_table(predictions: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Return one network's ROC curve, for DVC's template `linear`.

    Columns `false_positive_rate` and `true_positive_rate`, rising; no rows where the photos are all
    of one kind.
    """
    labels, probabilities = tables.labels_and_probabilities(predictions)
    positive = labels < probabilities.shape[1] - 1
    scores = open_set.in_distribution_score(probabilities)
    if question == "pair":
        labels, scores = labels[positive], pair_scores(probabilities[positive])
        positive = labels == 0
    if positive.all() or not positive.any():
        return pd.DataFrame({"false_positive_rate": [], "true_positive_rate": []})
    false_rate, true_rate, _ = roc_curve(positive, scores)
    return pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})


def rocs(canvas: Canvas, predictions: pd.DataFrame, metrics: Metrics) -> None:
    """Draw `roc`: the curves of all networks, and beside each plot its corner: there they differ.

    A question that has no answer with these labels or photos is left out.
    """
    names = [listed([label]) for label in tables.label_names(predictions)]
    networks, known, first = tables.by_network(predictions), listed(names[:-1]), names[0]
    words: dict[Question, tuple[str, str, str]] = {
        "pair": (f"{known}?", f"{names[1]} predicted as {first}", f"{first} predicted as {first}"),
        "open_set": (
            f"{known}{',' * (len(names) > 2)} or other?",
            "other accepted",
            f"{known} accepted",
        ),
    }
    areas = {
        "pair": {name: of.get("roc_auc") for name, of in metrics.items()},
        "open_set": {name: of.get("open_set", {}).get("auroc") for name, of in metrics.items()},
    }
    answered = [question for question in words if all(areas[question].values())]
    with canvas.figure("roc", "ROC curves", 0.4 + 3 * max(1, len(answered))) as drawing:
        if not answered:
            drawing.text(0.5, 0.45, "none: these photos are all of one kind", ha="center")
            return
        grid = drawing.subplots(len(answered), 3, squeeze=False, width_ratios=(1, 1, 0.85))
        for (whole, corner, legend), question in zip(grid, answered, strict=True):
            for network, (color, marker, _) in network_styles(networks).items():
                points = roc_table(networks[network], question).to_numpy().T
                area = "{value:.4f}\n({low:.4f} to {high:.4f})".format(**areas[question][network])
                dots = {"marker": marker, "markersize": 3.5, "color": color}
                whole.plot(*points, color=color)
                corner.plot(*points, **dots, label=f"{network_name(network)} {area}")
            whole.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
            title, false_positives, true_positives = words[question]
            whole.set(title=title, ylabel=true_positives, xlim=(-0.01, 1), ylim=(0, 1.01))
            corner.set(title="the corner enlarged", xlim=(-0.001, 0.1), ylim=(0.9, 1.001))
            for axes in (whole, corner):
                axes.set(xlabel=false_positives, box_aspect=1)
                in_percent(axes.xaxis, axes.yaxis)
            legend.set_axis_off()
            layout = {"title": "AUROC", "alignment": "left", "labelspacing": 0.8}
            legend.legend(*corner.get_legend_handles_labels(), loc="center left", **layout)


def open_set_scores(canvas: Canvas, predictions: pd.DataFrame, metrics: Metrics) -> None:
    """Draw `open_set`: each network's open-set score, of in-distribution and all other photos.

    The line is where 95 % of the in-distribution photos are accepted.
    """
    *known, _ = tables.label_names(predictions)
    networks = tables.by_network(predictions)
    title, height = f"How probable is {listed(known)}?", 0.9 + 1.6 * len(networks)
    with canvas.figure("open_set", title, height) as drawing:
        column = drawing.subplots(len(networks), 1, squeeze=False, sharex=True)[:, 0]
        for axes, (network, rows) in zip(column, networks.items(), strict=True):
            labels, probabilities = tables.labels_and_probabilities(rows)
            scores, positive = open_set.in_distribution_score(probabilities), labels < len(known)
            _histogram(axes, scores[positive], style.LABEL_COLORS[1], "in-distribution")
            _histogram(axes, scores[~positive], style.OTHER_COLOR, "other")
            title = network_name(network)
            if "open_set" in metrics[network]:
                threshold = open_set.threshold_at_recall(scores[positive])
                axes.axvline(_log_odds(threshold), color=style.INK, linewidth=1, linestyle="--")
                accepted = percent(metrics[network]["open_set"]["false_positive_rate"]["value"])
                title += (
                    f": {accepted} of other accepted (FPR) where 95 % of in-distribution are (TPR)"
                )
            axes.set_title(title)
            in_percent(axes.yaxis)
        drawing.legend(*column[0].get_legend_handles_labels(), loc="upper right", ncols=2)
        column[-1].set_xticks(logit(SCORE_TICKS), [f"{100 * tick:g} %" for tick in SCORE_TICKS])
        highest = ", whichever is higher" if len(known) > 1 else ""
        column[-1].set_xlabel(f"probability of {listed(known)}{highest}")


def _histogram(axes: Axes, scores: np.ndarray, color: str, label: str) -> None:
    weights = np.full(len(scores), 1 / max(1, len(scores)))
    bars: dict[str, Any] = {"weights": weights, "color": color, "alpha": 0.75, "label": label}
    axes.hist(_log_odds(scores), SCORE_EDGES.tolist(), **bars)


def _log_odds(scores: np.ndarray | float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(logit(scores), SCORE_EDGES[0], SCORE_EDGES[-1]))


def reliability(canvas: Canvas, predictions: pd.DataFrame, metrics: Metrics) -> None:
    """Draw `reliability`: each network's accuracy by confidence, and a histogram of the latter.

    Where points lie on the diagonal, "90 %" is right nine times in ten. Bars are 95 % intervals.
    """
    networks = tables.by_network(predictions)
    lowest = np.floor(10 / len(tables.label_names(predictions))) / 10
    height = 2.0 + 9.0 / max(3, len(networks))
    with canvas.figure("reliability", "Is accuracy as high as confidence?", height) as drawing:
        columns = drawing.subplots(
            2, len(networks), squeeze=False, sharex=True, sharey="row", height_ratios=(3.2, 1)
        ).T
        for (curve, mass), (network, (color, marker, _)) in zip(
            columns, network_styles(networks).items(), strict=True
        ):
            confidences, correct = tables.confidences_and_correctness(networks[network])
            table = calibration.reliability(confidences, correct)
            curve.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1, linestyle=":")
            curve.vlines(table.confidence, table.low, table.high, color=color, alpha=0.5)
            curve.plot(table.confidence, table.accuracy, marker, color=color, markersize=5)
            error, by_chance = (
                percent(metrics[network][name])
                for name in ("calibration_error", "calibration_error_by_chance")
            )
            curve.set_title(
                f"{network_name(network)}\noff by {error}\n(chance: up to {by_chance})", size=10
            )
            curve.set(xlim=(lowest, 1.02), ylim=(0, 1.03))
            weights = np.full(len(confidences), 1 / len(confidences))
            mass.hist(confidences, np.linspace(lowest, 1, 29), weights=weights, color=color)
            mass.set_xlabel("confidence")
            in_percent(curve.yaxis, mass.yaxis, mass.xaxis)
        columns[0, 0].set_ylabel("correct")
        columns[0, 1].set_ylabel("photos")


def risk_coverage(canvas: Canvas, predictions: pd.DataFrame) -> None:
    """Draw `risk_coverage`: how many predictions are wrong when only the surest are made."""
    networks = tables.by_network(predictions)
    with canvas.figure("risk_coverage", "Fewer mistakes by abstaining when unsure", 4.2) as drawing:
        axes = drawing.subplots()
        for network, (color, _, _) in network_styles(networks).items():
            confidences, correct = tables.confidences_and_correctness(networks[network])
            curve = open_set.risk_coverage(confidences, correct)
            label = f"{network_name(network)}: {percent(curve.risk.mean(), 2)} on average"
            axes.plot(curve.coverage, curve.risk, color=color, label=label)
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        axes.set_yticks(RISK_TICKS[axes.get_ylim()[1] >= RISK_TICKS])
        axes.set(xlim=(0, 1.005), ylim=(0, None), ylabel="wrong among them")
        axes.set_xlabel("photos with a prediction, the most confident first")
        in_percent(axes.xaxis, axes.yaxis)
        axes.legend(loc="upper left")


def write_dvc_tables(folder: Path, predictions: pd.DataFrame) -> None:
    """Write `confusion_NETWORK.csv` and `roc_NETWORK.csv` for `dvc plots`."""
    for network, rows in tables.by_network(predictions).items():
        confusion_table(rows).to_csv(folder / f"confusion_{network}.csv", index=False)
        table = roc_table(rows, "open_set").round(6)
        table.to_csv(folder / f"roc_{network}.csv", index=False)
