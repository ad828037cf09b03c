"""Draw what went in, how training went, what the networks see and where they are wrong."""

import numpy as np

from pandacat import layout, params, saved, shards, stress, tables, tracking
from pandacat.figures import album, trust
from pandacat.files import read_json, written_aside
from pandacat.sources import mnist, provenance
from pandacat.stage import run
from pandacat.views import cut

CURVES = {
    "our network, digits": layout.PLOTS / "train_scratch_mnist.csv",
    "our network, photos": layout.PLOTS / "train_scratch_photos.csv",
    "fine-tuning": layout.PLOTS / "fine_tune.csv",
}


def main() -> None:
    """Write `plots/figures` and the tables for `dvc plots`."""
    settings = params.load()
    drawn = provenance.read(layout.PHOTOS / "provenance.json").drawn
    ours = {name: saved.load(layout.MODELS / f"scratch-{name}") for name in ("mnist", "photos")}
    fine_tuned = saved.load(layout.MODELS / "fine-tuned")
    judged = tables.read(layout.PREDICTIONS / "test.csv")
    elsewhere = tables.read(layout.PREDICTIONS / "field_test.csv")
    corrupted = tables.read(layout.PREDICTIONS / "corrupted.csv")
    digits, _ = mnist.read_digits(layout.MNIST, split="test")
    index = shards.read_index(layout.PHOTOS)
    first = index[(index.split == "test") & (index.label == "panda")].name.iloc[0]
    panda = album.images_of(layout.PHOTOS, [first])[first]
    square = cut(panda, ours["photos"].description.size_px, "square")[0].transpose(2, 0, 1)

    with tracking.run("draw_figures", settings.evaluate) as tracked:
        with written_aside(layout.FIGURES) as folder:
            folder.mkdir()
            album.what_goes_in(folder, layout.PHOTOS, drawn=drawn)
            album.what_training_sees(
                folder / "augmentations.png",
                panda,
                digits[0],
                of_photos=settings.train_scratch.photos.augment,
                of_digits=settings.train_scratch.mnist.augment,
                drawn=drawn,
            )
            album.how_training_went(folder, CURVES, drawn=drawn)
            album.what_our_network_sees(
                folder, ours["mnist"], digits[:1].astype(np.uint8), name="digit", drawn=False
            )
            album.what_our_network_sees(folder, ours["photos"], square, name="panda", drawn=drawn)
            album.all_in_one(folder, read_json(layout.METRICS / "evaluate.json"), drawn=drawn)
            album.what_they_answer(folder, judged, where="test", drawn=drawn)
            if len(elsewhere):
                album.what_they_answer(folder, elsewhere, where="field test", drawn=False)
            trust.robustness(
                folder / "robustness.png",
                stress.curves(judged, corrupted),
                stress.accuracies(corrupted, ["corruption"]),
                title="How often right as photos get worse (test)",
                drawn=drawn,
            )
            trust.flips(
                folder / "flips.png",
                tables.read(layout.PLOTS / "flips.csv"),
                title="Saved as another label's files are: verdicts that change (test)",
                drawn=drawn,
            )
            album.where_they_are_wrong(
                folder, judged, layout.PHOTOS, settings.evaluate.mistakes_shown, drawn=drawn
            )
            album.what_speaks_for_it(
                folder, judged, layout.PHOTOS, fine_tuned, network="fine_tuned", drawn=drawn
            )
        with written_aside(layout.TABLES) as folder:
            folder.mkdir()
            album.dvc_tables(folder, judged)
        for picture in sorted(layout.FIGURES.glob("*.png")):
            tracked.log_artifact(picture)


if __name__ == "__main__":
    run(main)
