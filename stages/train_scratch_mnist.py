"""Train the project's own network from random weights on the handwritten digits."""

from dataclasses import asdict
from functools import partial

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json, write_text
from pandacat.core.processes import is_first_process
from pandacat.core.stage import run
from pandacat.models.saved import save_model
from pandacat.tracking.journal import tracked_stage
from pandacat.training.checkpoint import Checkpoint, checkpoint_key
from pandacat.training.mnist_dataset import mnist_dataset
from pandacat.training.scratch import scratch_metrics, scratch_model, train_scratch

NAME = "train_scratch_mnist"
METRICS, CURVES = paths.METRICS / f"{NAME}.json", paths.PLOTS / f"{NAME}.csv"


def main() -> None:
    """Write models/scratch-mnist, its metrics and its training curves."""
    params = load_config().train_scratch.mnist
    dataset = mnist_dataset(paths.MNIST)
    checkpoint = Checkpoint(paths.CHECKPOINTS, NAME, checkpoint_key(asdict(params), dataset))
    train = partial(train_scratch, dataset, params, checkpoint=checkpoint)
    if not is_first_process():
        train()
        return

    with tracked_stage(NAME, params) as tracked:
        network, history = train(
            on_epoch=lambda epoch: tracked.log_metrics(epoch.curves, step=epoch.epoch)
        )
        metrics = scratch_metrics(network, history, dataset)
        save_model(paths.MODELS / "scratch-mnist", scratch_model(network, dataset, image=None))
        write_json(METRICS, metrics)
        write_text(CURVES, history.curves())
        tracked.log_metrics(
            {"test_accuracy": metrics["test"]["accuracy"], "best_epoch": history.best.epoch}
        )
        tracked.log_artifact(METRICS)
        tracked.log_artifact(CURVES)
    checkpoint.remove()


if __name__ == "__main__":
    run(main, distributed=True)
