"""The usual recipe, to compare with: two outputs on frozen features, and no "neither"."""

import numpy as np

from pandacat import features, layout, plain, saved, shards, tracking
from pandacat.sources import provenance
from pandacat.stage import run


def main() -> None:
    """Write the network as a model."""
    index = shards.read_index(layout.PHOTOS)
    kept = features.read(layout.FEATURES)
    with tracking.run("train_plain", {}):
        model = plain.train(
            saved.load(layout.MODELS / "pretrained"),
            kept.centres[np.flatnonzero(index.split == "train")],
            shards.classes_of(index, "train"),
            trained_on=shards.fingerprint_of(index),
            title=provenance.read(layout.PHOTOS / "provenance.json").title,
        )
        saved.save(layout.MODELS / "plain", model.description, model.tensors)


if __name__ == "__main__":
    run(main)
