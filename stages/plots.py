"""Draw what went in, how training went, what the networks see and where they are wrong."""

import numpy as np

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, read_json
from pandacat.core.stage import run
from pandacat.core.tables import read_table
from pandacat.data import provenance, store
from pandacat.data.crops import cut_crops
from pandacat.data.digits import read_digits
from pandacat.evaluation import robustness
from pandacat.models.saved import load_model
from pandacat.report.plots import all_plots, reliability
from pandacat.tracking.journal import tracked_stage

CURVES = {
    "our network, digits": paths.PLOTS / "train_scratch_mnist.csv",
    "our network, photos": paths.PLOTS / "train_scratch_photos.csv",
    "fine-tuning": paths.PLOTS / "fine_tune.csv",
}


def main() -> None:
    """Write `plots/figures` and the tables for `dvc plots`."""
    settings = load_config()
    drawn = provenance.read(paths.PHOTOS / "provenance.json").drawn
    ours = {name: load_model(paths.MODELS / f"scratch-{name}") for name in ("mnist", "photos")}
    fine_tuned = load_model(paths.MODELS / "fine-tuned")
    judged = read_table(paths.PREDICTIONS / "test.csv")
    elsewhere = read_table(paths.PREDICTIONS / "field_test.csv")
    corrupted = read_table(paths.PREDICTIONS / "corrupted.csv")
    digits, _ = read_digits(paths.MNIST, split="test")
    index = store.read_index(paths.PHOTOS)
    first = index[(index.split == "test") & (index.label == "panda")].name.iloc[0]
    panda = store.load_images(paths.PHOTOS, [first])[first]
    square = cut_crops(panda, ours["photos"].description.input_px, "square")[0].transpose(2, 0, 1)

    with tracked_stage("plots", {"mistakes_shown": settings.evaluate.mistakes_shown}) as tracked:
        with atomic_write(paths.FIGURES) as folder:
            folder.mkdir()
            all_plots.what_goes_in(folder, paths.PHOTOS, drawn=drawn)
            all_plots.what_training_sees(
                folder / "augmentations.png",
                panda,
                digits[0],
                copies=settings.predict_pretrained.augmented_copies,
                of_photos=settings.train_scratch.photos.augment,
                of_digits=settings.train_scratch.mnist.augment,
                drawn=drawn,
            )
            all_plots.how_training_went(folder, CURVES, drawn=drawn)
            all_plots.what_our_network_sees(
                folder, ours["mnist"], digits[:1].astype(np.uint8), name="digit", drawn=False
            )
            all_plots.what_our_network_sees(
                folder, ours["photos"], square, name="panda", drawn=drawn
            )
            all_plots.all_in_one(folder, read_json(paths.METRICS / "evaluate.json"), drawn=drawn)
            all_plots.what_they_answer(folder, judged, where="test", drawn=drawn)
            if len(elsewhere):
                all_plots.what_they_answer(folder, elsewhere, where="field test", drawn=False)
            reliability.robustness(
                folder / "robustness.png",
                robustness.curves(judged, corrupted),
                robustness.accuracies(corrupted, ["corruption"]),
                title="How often right as photos get worse (test)",
                drawn=drawn,
            )
            reliability.changed_predictions(
                folder / "changed_predictions.png",
                read_table(paths.PLOTS / "changed_predictions.csv"),
                title="Saved as another label's files are: verdicts that change (test)",
                drawn=drawn,
            )
            all_plots.where_they_are_wrong(
                folder, judged, paths.PHOTOS, settings.evaluate.mistakes_shown, drawn=drawn
            )
            all_plots.what_speaks_for_it(
                folder, judged, paths.PHOTOS, fine_tuned, network="fine_tuned", drawn=drawn
            )
        with atomic_write(paths.TABLES) as folder:
            folder.mkdir()
            all_plots.dvc_tables(folder, judged)
        for picture in sorted(paths.FIGURES.glob("*.png")):
            tracked.log_artifact(picture)


if __name__ == "__main__":
    run(main)
