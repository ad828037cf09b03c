"""One loop for all training: gradient descent with progress, early stopping and resuming."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.training.batches import Batch, Batches, seed_from
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import Compute


def without_decay_of_scales(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer: biases and normalizations are not decayed."""
    weights = [tensor for tensor in network.parameters() if tensor.requires_grad]
    return [
        {"params": [tensor for tensor in weights if tensor.ndim > 1], "weight_decay": weight_decay},
        {"params": [tensor for tensor in weights if tensor.ndim <= 1], "weight_decay": 0.0},
    ]


def warm_up_then_cosine(warm_up_share: float) -> Callable[[float], float]:
    """Return the learning-rate factor for each share of the training done, both in [0, 1].

    It rises in a straight line over the first `warm_up_share`, then falls along half a cosine to 0
    (Loshchilov & Hutter 2017, equation 5, without restarts).
    """

    def factor(done: float) -> float:
        if done < warm_up_share:
            return done / warm_up_share
        return (1 + math.cos(math.pi * (done - warm_up_share) / (1 - warm_up_share))) / 2

    return factor


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to."""

    epoch: int
    """From 1; 0 is the network as it came, before any training."""
    learning_rate: float
    """Of the first parameter group, at the end of the epoch."""
    train_loss: float | None
    """Mean over the epoch's pictures as they were trained on; None for epoch 0."""
    metrics: dict[str, float]
    """What `validate` returned."""


@dataclass(frozen=True)
class History:
    """A finished training."""

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    """The epoch whose weights the network has now."""

    def curves(self) -> str:
        """Return the epochs as CSV, a line each."""
        lines = ["epoch,train_loss," + ",".join(self.epochs[0].metrics) + ",learning_rate"]
        for record in self.epochs:
            loss = "" if record.train_loss is None else f"{record.train_loss:.6g}"
            metrics = ",".join(f"{value:.6g}" for value in record.metrics.values())
            lines.append(f"{record.epoch},{loss},{metrics},{record.learning_rate:.6g}")
        return "\n".join(lines) + "\n"


def fit(
    network: nn.Module,
    *,
    epochs: int,
    batches: Callable[[int], Batches],
    loss: Callable[[nn.Module, Batch], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[float], float],
    validate: Callable[[nn.Module], dict[str, float]],
    score: Callable[[Mapping[str, float]], float],
    compute: Compute,
    seed: int,
    patience: int | None = None,
    include_epoch_zero: bool = False,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> History:
    """Train `network` and leave it with the weights of its best epoch.

    Each epoch is seeded by (`seed`, epoch), so a training that is resumed from its checkpoint ends
    with the same bits as an undisturbed one.

    Args:
        network: what to train, already on `compute.device`.
        epochs: how many at most.
        batches: the batches of an epoch (from 1) on `compute.device`.
        loss: the mean loss of a batch, a scalar.
        optimizer: holds the parameters to train; its learning rates are the highest reached.
        schedule: factor for the learning rates by the share of the training done.
        validate: metrics of the network, which is in evaluation mode, on the validation split.
        score: how good these metrics are; the highest score wins, the earlier epoch on a tie.
        compute: device and precision.
        seed: of what the default generator draws in the network and the loss, such as dropout.
        patience: stop after so many epochs in a row without a better score; None: never.
        include_epoch_zero: validate the network as it came, too, as epoch 0.
        checkpoint: where the state is kept after each epoch; resumed from where there is one.
        on_epoch: called after each epoch, when it is safely kept; first for epochs resumed from.

    Raises:
        PandacatError: a loss or score is no longer a finite number.
    """
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    records: list[EpochRecord] = []
    best_epoch, best_score, best_state = -1, -math.inf, _copy(network)
    scaler = compute.scaler()
    if compute.channels_last:
        network.to(memory_format=torch.channels_last)

    saved = checkpoint.load() if checkpoint else None
    if saved:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
        records = [EpochRecord(**record) for record in saved["records"]]
        best_epoch, best_score, best_state = saved["best"]
        print_status(f"resumed after epoch {records[-1].epoch}/{epochs}")
        for record in records:
            on_epoch(record)

    first = records[-1].epoch + 1 if records else (0 if include_epoch_zero else 1)
    for epoch in range(first, epochs + 1):
        if patience is not None and epoch - 1 - max(best_epoch, 0) >= patience:
            break
        torch.manual_seed(seed_from("network", seed, epoch))
        started = time.perf_counter()
        if epoch == 0:
            train_loss, count = None, 0
        else:
            train_loss, count = _train_epoch(
                network, epoch, epochs, batches(epoch), loss, optimizer, schedule, compute, scaler
            )
        seconds = time.perf_counter() - started
        network.eval()
        with torch.inference_mode():
            metrics = validate(network)
        record = EpochRecord(epoch, optimizer.param_groups[0]["lr"], train_loss, metrics)
        records.append(record)
        epoch_score = score(metrics)
        _refuse_infinite(epoch_score, "score on the validation split", epoch)
        if epoch_score > best_score:
            best_epoch, best_score, best_state = epoch, epoch_score, _copy(network)
        if checkpoint:
            checkpoint.save(
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scaler": scaler.state_dict(),
                    "records": [asdict(record) for record in records],
                    "best": (best_epoch, best_score, best_state),
                }
            )
        print_status(_line(record, epochs, count / seconds))
        on_epoch(record)

    network.load_state_dict(best_state)
    network.eval()
    return History(tuple(records), best_epoch)


def _train_epoch(
    network: nn.Module,
    epoch: int,
    epochs: int,
    batches: Batches,
    loss: Callable[[nn.Module, Batch], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[float], float],
    compute: Compute,
    scaler: torch.amp.GradScaler,
) -> tuple[float, int]:
    """Return the mean loss over the epoch, and over how many pictures."""
    network.train()
    loss_sum = torch.zeros((), dtype=torch.float64, device=compute.device)
    count = 0
    with tqdm(desc=f"epoch {epoch}/{epochs}", unit=" pictures", leave=False, disable=None) as bar:
        for step, (inputs, classes) in enumerate(batches, start=1):
            done = (epoch - 1 + step / len(batches)) / epochs
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * schedule(done)

            batch = (compute.laid_out(inputs), classes)
            with compute.autocast():
                batch_loss = loss(network, batch)  # forward: how wrong is it?
            optimizer.zero_grad()
            scaler.scale(batch_loss).backward()  # backpropagation: how does each weight share?
            scaler.step(optimizer)  # gradient descent: each weight a little less so
            scaler.update()

            size = len(inputs)
            loss_sum += batch_loss.detach() * size
            count += size
            bar.update(size)
    mean = loss_sum.item() / count
    _refuse_infinite(mean, "training loss", epoch)
    return mean, count


def _refuse_infinite(value: float, what: str, epoch: int) -> None:
    if not math.isfinite(value):
        raise PandacatError(
            f"The {what} became {value} in epoch {epoch}: lower the learning rate of this training"
            " in params.yaml, or its weight_decay or l2_sp where that is high."
        )


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _line(record: EpochRecord, epochs: int, speed: float) -> str:
    parts = [f"epoch {record.epoch}/{epochs}"]
    if record.train_loss is not None:
        parts.append(f"train_loss {record.train_loss:.4f}")
    parts += [f"{name} {value:.4f}" for name, value in record.metrics.items()]
    if speed:
        parts.append(f"{speed:,.0f} pictures/s")
    return "  ".join(parts)
