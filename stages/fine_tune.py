"""Fine-tune the pretrained network on the photos, then calibrate it."""

from dataclasses import asdict
from functools import partial

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json, write_text
from pandacat.core.processes import is_first_process
from pandacat.core.stage import run
from pandacat.data import store
from pandacat.data.features import read_features
from pandacat.models.classifier import Classifier
from pandacat.models.embed import split_features, tiled_logits
from pandacat.models.saved import load_model, save_model
from pandacat.tracking.journal import tracked_stage
from pandacat.training.calibration import calibrate, calibration_metrics, keep_neighbors
from pandacat.training.checkpoint import Checkpoint, checkpoint_key
from pandacat.training.fine_tune import fine_tune
from pandacat.training.photo_dataset import photo_features, photo_pixels

NAME = "fine_tune"
METRICS, CURVES = paths.METRICS / f"{NAME}.json", paths.PLOTS / f"{NAME}.csv"


def main() -> None:
    """Write models/fine-tuned, its metrics and its training curves."""
    config = load_config()
    params, crops = config.fine_tune, config.predict_pretrained.crops
    pretrained = load_model(paths.MODELS / "pretrained").described(crops=crops)
    features = read_features(paths.FEATURES)
    if params.strategy == "head":
        dataset = photo_features(paths.PHOTOS, features)
    else:
        dataset = photo_pixels(paths.PHOTOS, pretrained.description.input_px)
    key = checkpoint_key(asdict(params), dataset, start=pretrained.sha256)
    checkpoint = Checkpoint(paths.CHECKPOINTS, NAME, key)
    train = partial(fine_tune, pretrained, dataset, params, checkpoint=checkpoint)
    if not is_first_process():
        train()
        return

    with tracked_stage(NAME, params) as tracked:
        model, history = train(
            on_epoch=lambda epoch: tracked.log_metrics(epoch.curves, step=epoch.epoch)
        )
        classifier = Classifier(model)
        extract = partial(
            split_features, classifier=classifier, photo_folder=paths.PHOTOS, stored=features
        )
        train_classes, classes = (
            part.classes.numpy() for part in (dataset.train, dataset.validation)
        )
        centers = extract("train", crops="center")[
            train_classes < len(model.description.label_classes), 0
        ]
        model = keep_neighbors(model, centers, params.neighbor_photos)
        validation = extract("validation", crops=crops)
        images = partial(store.split_images, paths.PHOTOS, "validation")
        model = calibrate(
            model,
            validation,
            classes,
            params.calibration,
            lambda model: tiled_logits(Classifier(model, classifier), validation, images),
        )
        save_model(paths.MODELS / "fine-tuned", model)
        metrics = history.summary() | calibration_metrics(model)
        write_json(METRICS, metrics)
        write_text(CURVES, history.curves())
        tracked.log_metrics(
            {"temperature": model.description.temperature, "best_epoch": history.best.epoch}
        )
        tracked.log_artifact(METRICS)
        tracked.log_artifact(CURVES)
    checkpoint.remove()


if __name__ == "__main__":
    run(main, distributed=True)
