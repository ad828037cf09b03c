"""Adapt the pretrained network to these animals, starting from what it knows."""

from dataclasses import asdict, replace

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json, write_text
from pandacat.core.stage import run
from pandacat.data import provenance, store
from pandacat.data.features import read_features
from pandacat.models.classifier import Classifier
from pandacat.models.embed import split_features
from pandacat.models.probabilities import pool_crops, softmax
from pandacat.models.saved import SavedModel, load_model, save_model
from pandacat.tracking.journal import tracked_stage
from pandacat.training import fine_tune
from pandacat.training.calibration import fit_conformal_thresholds, fit_temperature
from pandacat.training.checkpoint import Checkpoint, checkpoint_key

NAME = "fine_tune"


def main() -> None:
    """Write the fine-tuned network, its metrics and its curves."""
    settings = load_config()
    chosen = settings.fine_tune
    index = store.read_index(paths.PHOTOS)
    pretrained = load_model(paths.MODELS / "pretrained")
    kept = read_features(paths.FEATURES)
    if chosen.strategy == "head":
        data = fine_tune.from_features(index, kept, pretrained.description)
    else:
        data = fine_tune.from_pictures(paths.PHOTOS, pretrained.description)
    key = checkpoint_key(asdict(chosen), [data.train, data.validation], start=pretrained.sha256)
    checkpoint = Checkpoint(paths.CHECKPOINTS, NAME, key)

    with tracked_stage(NAME, chosen) as tracked:
        tensors, history = fine_tune.fine_tune(
            pretrained,
            data,
            chosen,
            checkpoint=checkpoint,
            on_epoch=lambda epoch: tracked.log_metrics(epoch.metrics, step=epoch.epoch),
        )
        description = replace(
            pretrained.description,
            crops=settings.predict_pretrained.crops,
            trained_on=store.dataset_fingerprint(index),
            title=provenance.read(paths.PHOTOS / "provenance.json").title,
        )
        classifier = Classifier(SavedModel(description, tensors))
        seen = split_features(
            "validation",
            classifier,
            crops=description.crops,
            photo_folder=paths.PHOTOS,
            stored=kept,
        )
        classes = store.split_labels(index, "validation", description.labels)
        logits = pool_crops(classifier.log_probabilities(seen))
        temperature = fit_temperature(logits, classes)
        conformal = fit_conformal_thresholds(
            softmax(logits / temperature), classes, chosen.coverage, description.labels
        )
        save_model(
            paths.MODELS / "fine-tuned",
            replace(description, temperature=temperature, conformal=conformal),
            tensors,
        )
        metrics = {
            "best_epoch": history.best_epoch,
            "epochs": history.epochs[-1].epoch,
            "start": history.epochs[0].metrics,
            "best": history.epochs[history.best_epoch].metrics,
            "temperature": temperature,
            "thresholds": dict(zip(description.labels, conformal.thresholds, strict=False)),
        }
        write_json(paths.METRICS / f"{NAME}.json", metrics)
        write_text(paths.PLOTS / f"{NAME}.csv", history.curves())
        tracked.log_metrics(metrics)
        tracked.log_artifact(paths.METRICS / f"{NAME}.json")
        tracked.log_artifact(paths.PLOTS / f"{NAME}.csv")
    checkpoint.remove()


if __name__ == "__main__":
    run(main)
