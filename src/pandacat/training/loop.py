"""One training loop for all: gradient descent with validation, early stopping and checkpoints."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.training.batches import Batch, seed_from
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import Device


class Task(Protocol):
    """What is trained, on what, and how good it is."""

    @property
    def network(self) -> nn.Module:
        """Already on the device."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Holds the parameters to train; its learning rates are the highest that are reached."""

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches."""

    def batches(self, epoch: int) -> Iterable[Batch]:
        """Return the batches of an epoch, from 1, on the device."""

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    def validate(self) -> dict[str, float]:
        """Return metrics on the validation split; the epoch with the least `validation_loss` wins.

        The network is in evaluation mode.
        """


@dataclass(frozen=True)
class FitSettings:
    """How long to train, and when to stop."""

    epochs: int
    """At most."""
    seed: int
    """Of what network and loss draw from PyTorch's default generator, such as dropout."""
    warm_up_share: float
    """Of all steps; see `warm_up_then_cosine`."""
    patience: int | None = None
    """Stop after so many epochs in a row without a lower validation loss; `None`: never."""
    include_epoch_zero: bool = False
    """Validate the network before any training, too, as epoch 0."""


@dataclass(frozen=True)
class EpochRecord:
    """The result of one epoch."""

    epoch: int
    """From 1; 0 is the network before any training."""
    learning_rate: float
    """Of the first parameter group, at the end of the epoch."""
    train_loss: float | None
    """Mean over the epoch's examples as they were trained on; None for epoch 0."""
    metrics: dict[str, float]
    """What `validate` returned."""


@dataclass(frozen=True)
class History:
    """The epochs of a training, in order."""

    epochs: tuple[EpochRecord, ...]

    @property
    def best(self) -> EpochRecord:
        """The epoch with the least validation loss, the earlier one on a tie."""
        return min(self.epochs, key=lambda record: record.metrics["validation_loss"])

    def summary(self) -> dict[str, Any]:
        """Return how many epochs there were, and the metrics of the first and the best one."""
        return {
            "best_epoch": self.best.epoch,
            "epochs": self.epochs[-1].epoch,
            "start": self.epochs[0].metrics,
            "best": self.best.metrics,
        }

    def curves(self) -> str:
        """Return the epochs as CSV, a line each."""
        lines = ["epoch,train_loss," + ",".join(self.epochs[0].metrics) + ",learning_rate"]
        for record in self.epochs:
            loss = "" if record.train_loss is None else f"{record.train_loss:.6g}"
            metrics = ",".join(f"{value:.6g}" for value in record.metrics.values())
            lines.append(f"{record.epoch},{loss},{metrics},{record.learning_rate:.6g}")
        return "\n".join(lines) + "\n"


def warm_up_then_cosine(done: float, warm_up_share: float) -> float:
    """Return the factor for the learning rates after a share of the training, both in [0, 1].

    It rises linearly over the first `warm_up_share`, then falls along half a cosine to 0
    (Loshchilov & Hutter 2017, equation 5, without restarts).
    """
    if done < warm_up_share:
        return done / warm_up_share
    return (1 + math.cos(math.pi * (done - warm_up_share) / (1 - warm_up_share))) / 2


def fit(
    task: Task,
    settings: FitSettings,
    *,
    device: Device,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> History:
    """Train a network and leave it with the weights of its best epoch.

    Each epoch is seeded by (`settings.seed`, epoch), so a training that is resumed from its
    checkpoint ends with the same bits as an undisturbed one.

    Args:
        task: the network, its optimizer, batches, loss and validation.
        settings: how long to train, and when to stop.
        device: where and how to calculate.
        checkpoint: where the state is saved after each epoch, and resumed from.
        on_epoch: called after each epoch, once its state is saved; first for epochs resumed from.

    Raises:
        PandacatError: a loss is no longer a finite number.
    """
    network, optimizer, scaler = task.network, task.optimizer, device.scaler()
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    history = History(())
    best_weights = _copy_of_weights(network)
    if device.channels_last:
        network.to(memory_format=torch.channels_last)

    if checkpoint and (saved := checkpoint.load()):
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
        history = History(tuple(EpochRecord(**record) for record in saved["epochs"]))
        best_weights = saved["best_weights"]
        print_status(f"resumed after epoch {history.epochs[-1].epoch}/{settings.epochs}")
        for record in history.epochs:
            on_epoch(record)

    first = len(history.epochs) + (0 if settings.include_epoch_zero else 1)
    for epoch in range(first, settings.epochs + 1):
        if history.epochs and epoch - 1 - history.best.epoch >= (settings.patience or math.inf):
            break
        torch.manual_seed(seed_from("network", settings.seed, epoch))
        began = time.perf_counter()
        train_loss, examples = _train(task, epoch, settings, device, scaler) if epoch else (None, 0)
        speed = examples / (time.perf_counter() - began)

        network.eval()
        with torch.inference_mode():
            metrics = task.validate()
        _require_finite(metrics["validation_loss"], "validation loss", epoch)
        record = EpochRecord(epoch, optimizer.param_groups[0]["lr"], train_loss, metrics)
        history = History((*history.epochs, record))
        if history.best is record:
            best_weights = _copy_of_weights(network)
        if checkpoint:
            checkpoint.save(
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scaler": scaler.state_dict(),
                    "epochs": [asdict(record) for record in history.epochs],
                    "best_weights": best_weights,
                }
            )
        print_status(_line(record, settings.epochs, speed))
        on_epoch(record)

    network.load_state_dict(best_weights)
    network.eval()
    return history


def _train(
    task: Task, epoch: int, settings: FitSettings, device: Device, scaler: torch.amp.GradScaler
) -> tuple[float, int]:
    """Train for one epoch; return the mean loss, and over how many examples."""
    task.network.train()
    loss_sum = torch.zeros((), dtype=torch.float64, device=device.name)
    count = 0
    title = f"epoch {epoch}/{settings.epochs}"
    with tqdm(desc=title, unit=" pictures", leave=False, disable=None) as bar:
        for step, (inputs, classes) in enumerate(task.batches(epoch), start=1):
            done = (epoch - 1 + step / task.steps_per_epoch) / settings.epochs
            for group in task.optimizer.param_groups:
                factor = warm_up_then_cosine(done, settings.warm_up_share)
                group["lr"] = group["initial_lr"] * factor

            batch = (device.laid_out(inputs), classes)
            with device.autocast():
                loss = task.loss(batch)  # forward: how wrong is it?
            task.optimizer.zero_grad()
            scaler.scale(loss).backward()  # backpropagation: how does each weight contribute?
            scaler.step(task.optimizer)  # gradient descent: move each weight against its gradient
            scaler.update()

            loss_sum += loss.detach() * len(inputs)
            count += len(inputs)
            bar.update(len(inputs))
    mean = loss_sum.item() / count
    _require_finite(mean, "training loss", epoch)
    return mean, count


def _require_finite(value: float, name: str, epoch: int) -> None:
    if not math.isfinite(value):
        raise PandacatError(
            f"The {name} became {value} in epoch {epoch}: lower the learning rate of this training"
            " in params.yaml, or its weight_decay or l2_sp where that is high."
        )


def _copy_of_weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _line(record: EpochRecord, epochs: int, speed: float) -> str:
    parts = [f"epoch {record.epoch}/{epochs}"]
    if record.train_loss is not None:
        parts.append(f"train_loss {record.train_loss:.4f}")
    parts += [f"{name} {value:.4f}" for name, value in record.metrics.items()]
    if speed:
        parts.append(f"{speed:,.0f} pictures/s")
    return "  ".join(parts)
