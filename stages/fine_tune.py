"""Adapt the pretrained network to these animals, starting from what it knows."""

from dataclasses import asdict, replace

from pandacat import (
    augment,
    features,
    fine_tuning,
    layout,
    params,
    saved,
    shards,
    tracking,
    training,
)
from pandacat.files import write_json, write_text
from pandacat.labels import LABELS
from pandacat.networks import pretrained
from pandacat.recogniser import Recogniser, pool_views, softmax
from pandacat.saved import SavedModel
from pandacat.sources import provenance
from pandacat.stage import run

NAME = "fine_tune"


def main() -> None:
    """Write the fine-tuned network, its metrics and its curves."""
    settings = params.load()
    chosen = settings.fine_tune
    index = shards.read_index(layout.PHOTOS)
    untouched = saved.load(layout.MODELS / "pretrained")
    kept = features.read(layout.FEATURES)
    if chosen.strategy == "head":
        data = fine_tuning.from_features(index, kept)
    else:
        data = fine_tuning.from_pictures(layout.PHOTOS, untouched.description.size_px)
    code = [augment.__file__, fine_tuning.__file__, pretrained.__file__]
    key = training.checkpoint_key(
        asdict(chosen), [data.train, data.validation], code, start=untouched.sha256
    )
    checkpoint = training.Checkpoint(layout.CHECKPOINTS, NAME, key)

    with tracking.run(NAME, chosen) as tracked:
        tensors, history = fine_tuning.fine_tune(
            untouched,
            data,
            chosen,
            checkpoint=checkpoint,
            on_epoch=lambda epoch: tracked.log_metrics(epoch.metrics, step=epoch.epoch),
        )
        description = replace(
            untouched.description,
            views=settings.predict_pretrained.views,
            trained_on=shards.fingerprint_of(index),
            title=provenance.read(layout.PHOTOS / "provenance.json").title,
        )
        recogniser = Recogniser(SavedModel(description, tensors))
        seen = features.of_split(
            "validation",
            recogniser,
            view=description.views,
            photo_folder=layout.PHOTOS,
            kept=kept,
        )
        classes = shards.classes_of(index, "validation")
        logits = pool_views(recogniser.log_probabilities(seen))
        temperature = fine_tuning.fit_temperature(logits, classes)
        promise = fine_tuning.calibrate_promise(
            softmax(logits / temperature), classes, chosen.coverage
        )
        saved.save(
            layout.MODELS / "fine-tuned",
            replace(description, temperature=temperature, promise=promise),
            tensors,
        )
        metrics = {
            "best_epoch": history.best_epoch,
            "epochs": history.epochs[-1].epoch,
            "start": history.epochs[0].metrics,
            "best": history.epochs[history.best_epoch].metrics,
            "temperature": temperature,
            "thresholds": dict(zip(LABELS[:2], promise.thresholds, strict=True)),
        }
        write_json(layout.METRICS / f"{NAME}.json", metrics)
        write_text(layout.PLOTS / f"{NAME}.csv", history.curves())
        tracked.log_metrics(metrics)
        tracked.log_artifact(layout.METRICS / f"{NAME}.json")
        tracked.log_artifact(layout.PLOTS / f"{NAME}.csv")
    checkpoint.remove()


if __name__ == "__main__":
    run(main)
