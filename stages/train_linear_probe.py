"""The linear probe: a logistic regression on frozen features, to compare with."""

import numpy as np

from pandacat.core import paths
from pandacat.core.stage import run
from pandacat.data import provenance, store
from pandacat.data.features import read_features
from pandacat.models.saved import load_model, save_model
from pandacat.tracking.journal import tracked_stage
from pandacat.training.linear_probe import train_linear_probe


def main() -> None:
    """Write models/linear-probe."""
    index = store.read_index(paths.PHOTOS)
    features = read_features(paths.FEATURES).centers[np.flatnonzero(index.split == "train")]
    pretrained = load_model(paths.MODELS / "pretrained")
    classes = store.split_labels(index, "train", pretrained.description.labels)
    origin = provenance.read(paths.PHOTOS / "provenance.json")
    with tracked_stage("train_linear_probe", {}):
        model = train_linear_probe(
            pretrained,
            features,
            classes,
            trained_on=store.dataset_fingerprint(index),
            title=origin.title,
            drawn=origin.drawn,
        )
        save_model(paths.MODELS / "linear-probe", model)


if __name__ == "__main__":
    run(main)
