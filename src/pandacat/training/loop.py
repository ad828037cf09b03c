"""One training loop for all: gradient descent with validation, early stopping and checkpoints."""

import math
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.processes import is_first_process, process_count
from pandacat.training.batches import Batch, seed_from
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import Device
from pandacat.training.distributed import (
    from_first,
    own_part,
    require_same,
    sum_gradients,
    summed,
    synchronize,
)
from pandacat.training.graphs import Step, captured


class Task(Protocol):
    """What is trained, on what, and how good it is; all of it on one device."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    """Holds the parameters to train; its learning rates are the highest that are reached."""
    steps_per_epoch: int

    def batches(self, epoch: int) -> Iterable[Batch]:
        """Return the batches of an epoch, from 1."""

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of a batch."""

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar."""

    def validate(self) -> dict[str, float]:
        """Return metrics of the network, in evaluation mode, on the validation split.

        The epoch with the lowest `validation_loss` is the best.
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
    """Whether to validate the network before any training, too, as epoch 0."""


@dataclass(frozen=True)
class EpochRecord:
    """The result of one epoch."""

    epoch: int
    """From 1; 0 is the network before any training."""
    learning_rate: float
    """Of the first parameter group, at the end of the epoch."""
    train_loss: float | None
    """Mean over the epoch's examples as they were trained on; `None` for epoch 0."""
    metrics: dict[str, float]
    """What `Task.validate` returned."""

    @property
    def curves(self) -> dict[str, float]:
        """All numbers that make a curve over the epochs."""
        trained = {} if self.train_loss is None else {"train_loss": self.train_loss}
        return {**trained, **self.metrics, "learning_rate": self.learning_rate}


@dataclass(frozen=True)
class History:
    """The epochs of a training, in order."""

    epochs: tuple[EpochRecord, ...] = ()

    @property
    def best(self) -> EpochRecord:
        """The epoch with the lowest validation loss, the earlier one on a tie."""
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
        lines = [["epoch", "train_loss", *self.epochs[0].metrics, "learning_rate"]]
        for record in self.epochs:
            numbers = [record.train_loss, *record.metrics.values(), record.learning_rate]
            values = ["" if number is None else f"{number:.6g}" for number in numbers]
            lines.append([str(record.epoch), *values])
        return "".join(f"{','.join(line)}\n" for line in lines)


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

    Each epoch is seeded by (`settings.seed`, epoch), so that a training that is resumed from its
    `checkpoint`, which is written after each epoch, ends with the same bits as an undisturbed one.
    `on_epoch` is called after that, and first for the epochs that are resumed from.

    Raises:
        PandacatError: a loss is no longer a finite number.
    """
    network, optimizer, scaler = task.network, task.optimizer, device.scaler()
    rates = [group["lr"] for group in optimizer.param_groups]
    history, best_weights = History(), deepcopy(network.state_dict())
    if device.channels_last:
        network.to(memory_format=torch.channels_last)

    synchronize(network)
    if checkpoint:
        require_same(checkpoint.key)

    if checkpoint and (saved := from_first(checkpoint.load)):
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
        history = History(tuple(EpochRecord(**record) for record in saved["epochs"]))
        best_weights = saved["best_weights"]
        print_status(f"resumed after epoch {history.epochs[-1].epoch}/{settings.epochs}")
        for record in history.epochs:
            on_epoch(record)

    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["initial_lr"] = rate
        group["lr"] = torch.tensor(rate, device=device.name) if device.is_gpu else rate
    step = _step_of(task, device, scaler)

    first = len(history.epochs) + (0 if settings.include_epoch_zero else 1)
    for epoch in range(first, settings.epochs + 1):
        if history.epochs and epoch - 1 - history.best.epoch >= (settings.patience or math.inf):
            break
        torch.manual_seed(seed_from("network", settings.seed, epoch))
        began = time.perf_counter()
        train_loss, count = _train(task, step, epoch, settings, device) if epoch else (None, 0)
        speed = count / (time.perf_counter() - began)

        network.eval()
        with torch.inference_mode():
            metrics = from_first(task.validate)
        _require_finite(metrics["validation_loss"], "validation loss", epoch)
        factor = warm_up_then_cosine(epoch / settings.epochs, settings.warm_up_share)
        rate = factor * rates[0] if epoch else rates[0]
        record = EpochRecord(epoch, rate, train_loss, metrics)
        history = History((*history.epochs, record))
        if history.best is record:
            best_weights = deepcopy(network.state_dict())
        if checkpoint and is_first_process():
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


def _step_of(task: Task, device: Device, scaler: torch.amp.GradScaler) -> Step:
    """Return one step of gradient descent: from a batch to its loss."""

    def step(batch: Batch) -> Tensor:
        own, share = own_part(batch)  # all of it, where one process trains
        inputs, targets = task.examples(own)
        with device.autocast():
            loss = share * task.loss(inputs, targets)  # forward: how wrong is it?
        task.optimizer.zero_grad()
        scaler.scale(loss).backward()  # backpropagation: how does each weight contribute?
        sum_gradients(task.network.parameters())  # with the rows of the other processes
        scaler.step(task.optimizer)  # gradient descent: each weight moves to lower the loss
        scaler.update()
        return loss.detach()

    alone = process_count() == 1
    return captured(step) if device.is_gpu and alone and not scaler.is_enabled() else step


def _train(
    task: Task, step: Step, epoch: int, settings: FitSettings, device: Device
) -> tuple[float, int]:
    """Train for one epoch; return the mean loss, and over how many examples."""
    task.network.train()
    loss_sum = torch.zeros((), dtype=torch.float64, device=device.name)
    count = 0
    title = f"epoch {epoch}/{settings.epochs}"
    hidden = None if is_first_process() else True  # None: where there is no terminal
    with tqdm(desc=title, unit=" pictures", leave=False, disable=hidden) as bar:
        for number, batch in enumerate(task.batches(epoch), start=1):
            done = (epoch - 1 + number / task.steps_per_epoch) / settings.epochs
            _set_learning_rates(task.optimizer, warm_up_then_cosine(done, settings.warm_up_share))
            loss_sum += step(batch) * len(batch[0])
            count += len(batch[0])
            bar.update(len(batch[0]))
    mean = summed(loss_sum).item() / count
    _require_finite(mean, "training loss", epoch)
    return mean, count


def _set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        rate = factor * group["initial_lr"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _require_finite(value: float, name: str, epoch: int) -> None:
    if not math.isfinite(value):
        raise PandacatError(
            f"The {name} became {value} in epoch {epoch}: lower the learning rate of this training"
            " in params.yaml, or its weight_decay or l2_sp where that is high."
        )


def _line(record: EpochRecord, epochs: int, speed: float) -> str:
    losses = {} if record.train_loss is None else {"train_loss": record.train_loss}
    values = [f"{name} {value:.4f}" for name, value in (losses | record.metrics).items()]
    pictures = [f"{speed:,.0f} pictures/s"] * bool(speed)
    return "  ".join([f"epoch {record.epoch}/{epochs}", *values, *pictures])
