"""Draw the data, the trainings, the networks and their mistakes."""

from functools import partial

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, read_json
from pandacat.core.stage import run
from pandacat.core.tables import read_table
from pandacat.data import provenance, store
from pandacat.data.crops import cut_crops
from pandacat.data.digits import read_digits
from pandacat.evaluation import robustness_metrics
from pandacat.models.saved import load_model
from pandacat.report.plots import evaluation, photos, training
from pandacat.report.plots import robustness as robustness_plots
from pandacat.report.plots.style import Canvas
from pandacat.tracking.journal import tracked_stage

CURVES = {
    "from scratch, digits": paths.PLOTS / "train_scratch_mnist.csv",
    "from scratch, photos": paths.PLOTS / "train_scratch_photos.csv",
    "fine-tuning": paths.PLOTS / "fine_tune.csv",
}


def main() -> None:
    """Write `plots/figures` and the tables for `dvc plots`."""
    config = load_config()
    drawn = provenance.read(paths.PHOTOS / "provenance.json").drawn
    for_digits, for_photos, fine_tuned = (
        load_model(paths.MODELS / name)
        for name in ("scratch-mnist", "scratch-photos", "fine-tuned")
    )
    shown = config.evaluate.mistakes_shown
    metrics = read_json(paths.METRICS / "evaluate.json")
    predictions = {name: read_table(paths.PREDICTIONS / f"{name}.csv") for name in metrics}
    corrupted = read_table(paths.PREDICTIONS / "corrupted.csv")
    changed = read_table(paths.PLOTS / "changed_predictions.csv")
    curves = {name: read_table(path) for name, path in CURVES.items()}
    load = partial(store.load_images, paths.PHOTOS)
    digit = read_digits(paths.MNIST, split="test")[0][0]
    photo = photos.sample_photo(paths.PHOTOS)
    square = cut_crops(photo, for_photos.description.input_px, "square")[0]

    with tracked_stage("plots", {"mistakes_shown": shown}) as tracked:
        with atomic_write(paths.FIGURES) as folder:
            folder.mkdir()
            canvas = Canvas(folder, drawn)
            test = Canvas(folder, drawn, note=" (test)")
            photos.plot_photos(canvas, paths.PHOTOS, digit, config)
            training.curves(canvas, curves)
            training.plot_scratch_network(
                Canvas(folder, suffix="_digit", note=" (digit)"), for_digits, digit
            )
            training.plot_scratch_network(
                Canvas(folder, drawn, "_photo", " (photo)"), for_photos, square
            )
            evaluation.headline(canvas, metrics)
            for dataset, table in predictions.items():
                evaluation.plot_predictions(
                    folder, dataset, table, metrics[dataset], drawn=drawn and dataset == "test"
                )
            robustness_plots.robustness(
                test,
                robustness_metrics.curves(predictions["test"], corrupted),
                robustness_metrics.accuracies(corrupted, ["corruption"]),
                fine_tuned.description.labels,
            )
            robustness_plots.changed_predictions(test, changed)
            photos.mistakes(test, predictions["test"], shown, load)
            photos.plot_grad_cam(test, predictions["test"], paths.PHOTOS, fine_tuned)
        with atomic_write(paths.TABLES) as folder:
            folder.mkdir()
            evaluation.write_dvc_tables(folder, predictions["test"])
        for picture in sorted(paths.FIGURES.glob("*.png")):
            tracked.log_artifact(picture)


if __name__ == "__main__":
    run(main)
