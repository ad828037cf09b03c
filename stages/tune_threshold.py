"""The pretrained network with a tuned threshold for other: what fine-tuning must beat."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.stage import run
from pandacat.data import provenance, store
from pandacat.data.features import read_features
from pandacat.models.classifier import Classifier
from pandacat.models.embed import split_features
from pandacat.models.saved import load_model, save_model
from pandacat.tracking.journal import tracked_stage
from pandacat.training.threshold import tune_threshold


def main() -> None:
    """Write models/tuned-threshold."""
    crops = load_config().predict_pretrained.crops
    pretrained = load_model(paths.MODELS / "pretrained").described(crops=crops)
    index = store.read_index(paths.PHOTOS)
    origin = provenance.read(paths.PHOTOS / "provenance.json")
    classes = store.split_labels(index, "validation", pretrained.description.labels)
    with tracked_stage("tune_threshold", {}) as tracked:
        classifier = Classifier(pretrained)
        features = split_features(
            "validation",
            classifier,
            crops=crops,
            photo_folder=paths.PHOTOS,
            stored=read_features(paths.FEATURES),
        )
        model = tune_threshold(pretrained, classifier.log_probabilities(features), classes)
        model = model.described(
            trained_on=store.dataset_fingerprint(index), title=origin.title, drawn=origin.drawn
        )
        save_model(paths.MODELS / "tuned-threshold", model)
        tracked.log_metrics({"temperature": model.description.temperature})


if __name__ == "__main__":
    run(main)
