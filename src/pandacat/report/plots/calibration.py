"""Whether the networks' probabilities can be relied on."""

import numpy as np
import pandas as pd

from pandacat.evaluation import predictions as tables
from pandacat.metrics import calibration, open_set
from pandacat.report.formatting import network_name, percent
from pandacat.report.plots.accuracy import Metrics
from pandacat.report.plots.style import FAINT, Canvas, in_percent, network_styles

RISK_TICKS = np.array([0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1])


def _confidences(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each prediction, and whether it is correct."""
    return tables.labels_and_probabilities(predictions)[1].max(axis=1), tables.is_correct(
        predictions
    )


def reliability(canvas: Canvas, predictions: pd.DataFrame, metrics: Metrics) -> None:
    """Draw `reliability`: each network's accuracy by confidence, and a histogram of the latter.

    Where points lie on the diagonal, "90 %" is right nine times in ten. Bars are 95 % intervals.
    """
    networks = tables.by_network(predictions)
    lowest = np.floor(10 / len(tables.label_names(predictions))) / 10
    height = 1.4 + 9.0 / max(3, len(networks))
    with canvas.figure("reliability", "Is accuracy as high as confidence?", height) as drawing:
        columns = drawing.subplots(
            2, len(networks), squeeze=False, sharex=True, sharey="row", height_ratios=(3.2, 1)
        ).T
        for (curve, mass), (network, (color, marker, _)) in zip(
            columns, network_styles(networks).items(), strict=True
        ):
            confidences, correct = _confidences(networks[network])
            table = calibration.reliability(confidences, correct)
            curve.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
            curve.vlines(table.confidence, table.low, table.high, color=color, alpha=0.5)
            curve.plot(table.confidence, table.accuracy, marker, color=color, markersize=5)
            error = percent(metrics[network]["calibration_error"])
            curve.set_title(f"{network_name(network)}: off by {error}")
            curve.set(xlim=(lowest, 1.02), ylim=(0, 1.03))
            weights = np.full(len(confidences), 1 / len(confidences))
            mass.hist(confidences, np.linspace(lowest, 1, 29), weights=weights, color=color)
            mass.set_xlabel("probability of the prediction")
            in_percent(curve.yaxis, mass.yaxis, mass.xaxis)
        columns[0, 0].set_ylabel("correct")
        columns[0, 1].set_ylabel("photos")


def risk_coverage(canvas: Canvas, predictions: pd.DataFrame) -> None:
    """Draw `risk_coverage`: how many predictions are wrong when only the surest are made."""
    networks = tables.by_network(predictions)
    with canvas.figure("risk_coverage", "Fewer mistakes by abstaining when unsure", 4.2) as drawing:
        axes = drawing.subplots()
        for network, (color, _, _) in network_styles(networks).items():
            confidences, correct = _confidences(networks[network])
            curve = open_set.risk_coverage(confidences, correct)
            label = f"{network_name(network)}: {percent(curve.risk.mean(), 2)} on average"
            axes.plot(curve.coverage, curve.risk, color=color, label=label)
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        axes.set_yticks(RISK_TICKS[axes.get_ylim()[1] >= RISK_TICKS])
        axes.set(xlim=(0, 1.005), ylim=(0, None), ylabel="wrong among them")
        axes.set_xlabel("photos with a prediction, the most confident first")
        in_percent(axes.xaxis, axes.yaxis)
        axes.legend(loc="upper left")
