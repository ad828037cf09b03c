"""Predict with the ImageNet network, without fine-tuning, and store the features of all photos."""

import numpy as np

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, write_json
from pandacat.core.stage import run
from pandacat.core.tables import write_table
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.evaluation.predictions import headline_metrics_by_split, prediction_table
from pandacat.models.classifier import Classifier
from pandacat.models.embed import extract_features
from pandacat.models.loading import imagenet_model
from pandacat.models.saved import save_model
from pandacat.tracking.journal import tracked_stage
from pandacat.training.label_rows import add_label_rows

METRICS = paths.METRICS / "predict_pretrained.json"


def main() -> None:
    """Write models/pretrained, the features, and the predictions for all photos."""
    config = load_config()
    params = config.predict_pretrained
    index = store.read_index(paths.PHOTOS)
    train = np.flatnonzero(index.split == "train")
    with tracked_stage("predict_pretrained", params) as tracked:
        model = imagenet_model(config)
        classifier = Classifier(model, params.engine)
        with atomic_write(paths.FEATURES) as folder:
            folder.mkdir()
            extract_features(
                paths.PHOTOS,
                folder,
                classifier,
                crops=params.crops,
                copies=params.augmented_copies,
                seed=params.seed,
            )
        centers = np.array(read_features(paths.FEATURES).centers)
        classes = store.split_labels(index, "train", config.label_names)
        model = add_label_rows(model, centers[train], classes)
        save_model(paths.MODELS / "pretrained", model)

        probabilities = Classifier(model, classifier).probabilities(centers[:, None])
        table = prediction_table(index, probabilities, config.label_names)
        write_table(paths.PREDICTIONS / "pretrained.csv", table)
        metrics = headline_metrics_by_split(table)
        write_json(METRICS, metrics)
        tracked.log_metrics({"validation_accuracy": metrics["validation"]["accuracy"]["value"]})
        tracked.log_artifact(METRICS)


if __name__ == "__main__":
    run(main)
