"""How often the networks are right."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pandacat.evaluation.predictions import label_names, predicted_labels
from pandacat.labels import listed
from pandacat.report.formatting import network_name, percent, questions
from pandacat.report.plots.style import INK, PALE, Canvas, in_percent, name_rows, network_styles

Metrics = Mapping[str, Mapping[str, Any]]
"""By network, the figures of one set of photos in `metrics/evaluate.json`."""


def confusion_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return `actual` and `predicted`, a row a photo, for DVC's template `confusion`."""
    predicted = np.array(label_names(predictions))[predicted_labels(predictions)]
    return pd.DataFrame({"actual": predictions.label.to_numpy(), "predicted": predicted})


def confusions(canvas: Canvas, metrics: Metrics) -> None:
    """Draw `confusion`: the confusion matrix of each network, side by side."""
    height = 1.4 + 8.4 / max(3, len(metrics))
    with canvas.figure("confusion", "Confusion matrices and accuracy", height) as drawing:
        row = drawing.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        for axes, (network, figures) in zip(row, metrics.items(), strict=True):
            _matrix(axes, pd.DataFrame(figures["confusion"]).T)
            accuracy = percent(figures["accuracy"]["value"])
            axes.set(title=f"{network_name(network)}: {accuracy}", xlabel="prediction")
        row[0].set_ylabel("label")


def _matrix(axes: Axes, table: pd.DataFrame) -> None:
    counts, names = table.to_numpy(), [listed([label]) for label in table.columns]
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    scale = min(1, 3 / len(names))
    name_rows(axes, names)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        color = "white" if share > 0.6 else INK if count else PALE
        centered: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
        axes.text(column, row - 0.08, str(count), size=13 * scale, weight="bold", **centered)
        axes.text(column, row + 0.26, percent(share), size=8 * scale, **centered)
    rotation = 45 if len("".join(names)) > 18 else 0
    axes.set_xticks(range(len(names)), names, rotation=rotation)
    axes.tick_params(length=0, labelcolor=INK)
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
            name_rows(axes, [network_name(network) for network in networks])
            axes.tick_params(axis="y", labelsize=10)
            axes.spines["left"].set_visible(False)
