"""Train the project's own network from nothing: `train_scratch.py mnist`, or `photos`."""

from dataclasses import asdict

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.errors import PandacatError
from pandacat.core.files import write_json, write_text
from pandacat.core.stage import run
from pandacat.models import scratch
from pandacat.tracking.journal import tracked_stage
from pandacat.training.checkpoint import Checkpoint, checkpoint_key
from pandacat.training.scratch import (
    mnist_data,
    photo_data,
    save_scratch,
    scratch_accuracy,
    train_scratch,
)


def main(dataset: str = "") -> None:
    """Write the trained network, its metrics and its curves."""
    settings = load_config()
    if dataset == "mnist":
        recipe = settings.train_scratch.mnist
        data = mnist_data(paths.MNIST)
    elif dataset == "photos":
        recipe = settings.train_scratch.photos
        data = photo_data(paths.PHOTOS, recipe.input_px)
    else:
        raise PandacatError("Say what to train on: `train_scratch.py mnist`, or `photos`.")
    name = f"train_scratch@{dataset}"
    metrics_file = paths.METRICS / f"train_scratch_{dataset}.json"
    curves_file = paths.PLOTS / f"train_scratch_{dataset}.csv"
    key = checkpoint_key(asdict(recipe), data.splits.values())
    checkpoint = Checkpoint(paths.CHECKPOINTS, name, key)

    with tracked_stage(name, recipe) as tracked:
        network, history = train_scratch(
            recipe,
            data,
            checkpoint=checkpoint,
            on_epoch=lambda epoch: tracked.log_metrics(epoch.metrics, step=epoch.epoch),
        )
        metrics = {
            **{split: scratch_accuracy(network, data.splits[split]) for split in data.measured},
            "epochs": len(history.epochs),
            "best_epoch": history.best_epoch,
            "parameters": sum(weights.numel() for weights in network.parameters()),
            "multiply_adds": scratch.multiply_adds(network),
        }
        model = paths.MODELS / f"scratch-{dataset}"
        save_scratch(
            model,
            network,
            data,
            image=None if dataset == "mnist" else settings.preprocess.image_spec,
        )
        write_json(metrics_file, metrics)
        write_text(curves_file, history.curves())
        tracked.log_metrics(metrics)
        tracked.log_artifact(metrics_file)
        tracked.log_artifact(curves_file)
    checkpoint.remove()


if __name__ == "__main__":
    run(main)
