"""Predict with the ImageNet network, without any training, and keep its features."""

import numpy as np

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, write_json
from pandacat.core.stage import run
from pandacat.core.tables import write_table
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.evaluation.predictions import headline_metrics_by_split, prediction_table
from pandacat.models.embed import extract_features
from pandacat.models.loading import imagenet_model, load_classifier
from pandacat.models.saved import save_model
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write the network as a model, its features and its predictions on all photos."""
    settings = load_config()
    chosen = settings.predict_pretrained
    with tracked_stage("predict_pretrained", chosen) as tracked:
        model = imagenet_model(
            chosen.backbone,
            labels=settings.label_names,
            label_classes=settings.label_classes,
            image=settings.preprocess.image_spec,
        )
        save_model(paths.MODELS / "pretrained", model.description, model.tensors)
        classifier = load_classifier("pretrained", models=paths.MODELS, engine=chosen.engine)
        with atomic_write(paths.FEATURES) as folder:
            folder.mkdir()
            extract_features(
                paths.PHOTOS,
                folder,
                classifier,
                crops=chosen.crops,
                copies=chosen.augmented_copies,
                seed=chosen.seed,
            )
        index = store.read_index(paths.PHOTOS)
        centers = np.array(read_features(paths.FEATURES).centers)
        table = prediction_table(
            index, classifier.probabilities(centers[:, None]), classifier.labels
        )
        write_table(paths.PREDICTIONS / "pretrained.csv", table)
        metrics = headline_metrics_by_split(table)
        write_json(paths.METRICS / "predict_pretrained.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
