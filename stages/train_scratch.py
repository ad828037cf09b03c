"""Train the project's own network from nothing: `train_scratch.py mnist`, or `photos`."""

from dataclasses import asdict

from pandacat import augment, layout, params, scratch_training, tracking, training
from pandacat.errors import PandacatError
from pandacat.files import write_json, write_text
from pandacat.networks import scratch
from pandacat.stage import run


def main(dataset: str = "") -> None:
    """Write the trained network, its metrics and its curves."""
    settings = params.load()
    if dataset == "mnist":
        recipe = settings.train_scratch.mnist
        data = scratch_training.digits(layout.MNIST)
    elif dataset == "photos":
        recipe = settings.train_scratch.photos
        data = scratch_training.animals(layout.PHOTOS, recipe.side_px)
    else:
        raise PandacatError("Say what to train on: `train_scratch.py mnist`, or `photos`.")
    name = f"train_scratch@{dataset}"
    metrics_file = layout.METRICS / f"train_scratch_{dataset}.json"
    curves_file = layout.PLOTS / f"train_scratch_{dataset}.csv"
    code = [augment.__file__, scratch.__file__, scratch_training.__file__]
    key = training.checkpoint_key(asdict(recipe), data.splits.values(), code)
    checkpoint = training.Checkpoint(layout.CHECKPOINTS, name, key)

    with tracking.run(name, recipe) as tracked:
        network, history = scratch_training.train(
            recipe,
            data,
            checkpoint=checkpoint,
            on_epoch=lambda epoch: tracked.log_metrics(epoch.metrics, step=epoch.epoch),
        )
        metrics = {
            **{
                split: scratch_training.accuracy(network, data.splits[split])
                for split in data.measured
            },
            "epochs": len(history.epochs),
            "best_epoch": history.best_epoch,
            "parameters": sum(weights.numel() for weights in network.parameters()),
            "multiply_adds": scratch.multiply_adds(network),
        }
        model = layout.MODELS / f"scratch-{dataset}"
        scratch_training.save(model, network, data, side_px=settings.preprocess.side_px)
        write_json(metrics_file, metrics)
        write_text(curves_file, history.curves())
        tracked.log_metrics(metrics)
        tracked.log_artifact(metrics_file)
        tracked.log_artifact(curves_file)
    checkpoint.remove()


if __name__ == "__main__":
    run(main)
