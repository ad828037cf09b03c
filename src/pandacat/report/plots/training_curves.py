"""Loss and accuracy by epoch."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pandacat.report.formatting import percent
from pandacat.report.plots.style import FAINT, Canvas, in_percent

TRAINING, VALIDATION = "#e69f00", "#0072b2"


def curves(canvas: Canvas, trainings: Mapping[str, pd.DataFrame]) -> None:
    """Draw `curves`: loss and accuracy by epoch of each training, by title, the best one marked."""
    with canvas.figure("curves", "Training", 5.2) as drawing:
        grid = drawing.subplots(2, len(trainings), squeeze=False, sharex="col")
        for (losses, accuracies), (title, table) in zip(grid.T, trainings.items(), strict=True):
            best = table.iloc[int(table.validation_loss.argmin())]
            losses.plot(table.epoch, table.train_loss, color=TRAINING, label="training")
            losses.plot(table.epoch, table.validation_loss, color=VALIDATION, label="validation")
            losses.plot(best.epoch, best.validation_loss, "o", color=VALIDATION, label="best epoch")
            losses.set_yscale("log")
            losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            losses.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            losses.yaxis.set_minor_formatter(NullFormatter())
            losses.set_title(title)
            accuracies.plot(table.epoch, table.validation_accuracy, color=VALIDATION)
            accuracies.plot(best.epoch, best.validation_accuracy, "o", color=VALIDATION)
            accuracies.set_title(
                f"best epoch {best.epoch:.0f}: {percent(best.validation_accuracy, 2)},"
                f" loss {best.validation_loss:.3g}",
                size=9,
                color=FAINT,
            )
            accuracies.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            accuracies.set_xlabel("epoch")
            in_percent(accuracies.yaxis)
            for axes in (losses, accuracies):
                axes.axvline(best.epoch, color=FAINT, linewidth=1, linestyle=":")
        grid[0, 0].set_ylabel("loss")
        grid[1, 0].set_ylabel("accuracy, validation")
        grid[0, 0].legend()
