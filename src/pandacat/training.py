"""One loop for all training: gradient descent with progress, early stopping and resuming."""

import hashlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pandacat import files
from pandacat.errors import PandacatError

Batch = tuple[Tensor, Tensor]
"""Inputs and the class of each."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]
MemoryFormat = Literal["auto", "channels_last", "contiguous"]


class Batches(Protocol):
    """One epoch's batches, whose number is known."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""


@dataclass(frozen=True)
class Examples:
    """Inputs, such as pictures (N, C, H, W) uint8, and the class of each, (N,) int64."""

    inputs: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def fingerprint(self) -> str:
        """Return the SHA-256 over all of it, as 64 hex digits."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.classes):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def split(self, first: int) -> tuple["Examples", "Examples"]:
        """Return the `first` so many, and the others."""
        return (
            Examples(self.inputs[:first], self.classes[:first]),
            Examples(self.inputs[first:], self.classes[first:]),
        )


class ShuffledBatches:
    """All examples once, shuffled, in batches of nearly equal size.

    `transform` gets each batch's inputs, on the device, and returns what the network is to see.
    There are no loader processes: the examples lie in memory as bytes, decoded long ago, and the
    device that trains also changes the pictures, a batch at a time, in 3 to 8 % of a step.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        generator: torch.Generator,
        *,
        transform: Callable[[Tensor], Tensor],
        device: torch.device,
        pin_memory: bool = False,
    ) -> None:
        self.examples = examples
        self.device, self.transform, self.pin_memory = device, transform, pin_memory
        order = torch.randperm(len(examples), generator=generator)
        self.rows = order.tensor_split(math.ceil(len(examples) / batch_size))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.rows:
            inputs = self._on_device(self.examples.inputs[rows])
            yield self.transform(inputs), self._on_device(self.examples.classes[rows])

    def _on_device(self, tensor: Tensor) -> Tensor:
        if self.pin_memory:
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=self.pin_memory)


@dataclass(frozen=True)
class Compute:
    """Where to calculate, and how."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    """Of convolutions and matrix products; weights and sums stay float32."""
    channels_last: bool = True
    """Whether the channels of a pixel lie side by side in memory, or the pixels of a channel."""
    pin_memory: bool = False
    """Whether batches wait in memory from which a GPU copies while the processor goes on."""

    def autocast(self) -> torch.autocast:
        """Return the context in which the network is to run."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype if mixed else None, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """Return what keeps small gradients from vanishing in float16; idle in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def laid_out(self, inputs: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) in the chosen order of memory; other inputs as they are."""
        if inputs.ndim == 4 and self.channels_last:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs.contiguous()


def pick_compute(
    precision: Precision = "auto", memory_format: MemoryFormat = "auto", *, pin_memory: bool = True
) -> Compute:
    """Return the GPU where there is one, else the CPU, with what is fast there for each `auto`.

    Precision: bfloat16 where the processor multiplies it natively (elsewhere it is slower), float16
    on a GPU that multiplies only that, else float32. Channels last, except on a GPU in float32.
    Memory is pinned only for a GPU. Networks are not compiled: on two cores that takes 56 s, about
    as long as the training itself.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = _fastest_dtype(device) if precision == "auto" else getattr(torch, precision)
    if memory_format == "auto":
        channels_last = device.type == "cpu" or dtype != torch.float32
    else:
        channels_last = memory_format == "channels_last"
    return Compute(device, dtype, channels_last, pin_memory and device.type == "cuda")


def _fastest_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        native = torch.cpu.get_capabilities().get("avx512_bf16")
        return torch.bfloat16 if native else torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    has_tensor_cores = torch.cuda.get_device_capability(device) >= (7, 0)
    return torch.float16 if has_tensor_cores else torch.float32


def make_deterministic() -> None:
    """Let two runs on one machine give the same bits; call it before anything is calculated."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # Filling memory that is about to be overwritten costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def generator_for(*parts: str | int) -> torch.Generator:
    """Return a generator of its own for this combination, e.g. ("batches", seed, epoch)."""
    return torch.Generator().manual_seed(_mixed(*parts))


def _mixed(*parts: str | int) -> int:
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def without_decay_of_scales(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer: biases and normalisations are not decayed."""
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


@dataclass(frozen=True)
class Checkpoint:
    """The state of an unfinished training, kept in one file outside all stages' outputs.

    It is used only by a training with the same `key`, so what was left by other parameters, data
    or code is never taken up.
    """

    folder: Path
    name: str
    key: str

    @property
    def path(self) -> Path:
        """Return the file's path."""
        return self.folder / f"{self.name}-{self.key[:16]}.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state`, atomically."""
        stream = io.BytesIO()  # for torch tells of a full disk in a way that nobody understands
        torch.save({"key": self.key, **state}, stream)
        with files.written_aside(self.path) as aside:
            aside.write_bytes(stream.getbuffer())

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None, with a word to the user, where it is of no use."""
        if not self.path.exists():
            if any(self.folder.glob(f"{self.name}-*.pt")):
                tell(f"{self.name}: an interrupted training is left from other settings; not used.")
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["key"] != self.key:
                raise ValueError("it belongs to another training")
        except Exception as error:  # a damaged file raises anything
            reason = " ".join(str(error).split())[:100]
            tell(
                f"{self.name}: the checkpoint {self.path} is not usable ({reason}); starting anew."
            )
            return None
        return state

    def remove(self) -> None:
        """Remove the file, once what it was for is safely written."""
        files.remove(self.path)


def checkpoint_key(
    params: Mapping[str, Any],
    examples: Iterable[Examples],
    source_files: Iterable[str],
    *,
    start: str = "",
) -> str:
    """Return a hash over everything that a training depends on.

    `params` is JSON content, `examples` are what is learned from and validated on, `source_files`
    the code that decides the result, beside this module's, and `start` is the fingerprint of the
    weights to start from. The release of torch, the device and the number of threads count in,
    too: they change the last bits.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(params, sort_keys=True).encode())
    machine = f"{torch.__version__} {torch.get_num_threads()} {pick_compute()}"
    data = " ".join(part.fingerprint() for part in examples)
    digest.update(f"{data} {start} {machine}".encode())
    for source in (__file__, *source_files):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


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
    start_may_stay: bool = False,
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
        start_may_stay: validate the network as it came, too, as epoch 0.
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
        tell(f"resumed after epoch {records[-1].epoch}/{epochs}")
        for record in records:
            on_epoch(record)

    first = records[-1].epoch + 1 if records else (0 if start_may_stay else 1)
    for epoch in range(first, epochs + 1):
        if patience is not None and epoch - 1 - max(best_epoch, 0) >= patience:
            break
        torch.manual_seed(_mixed("network", seed, epoch))
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
        tell(_line(record, epochs, count / seconds))
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
            " in params.yaml, or its weight_decay or anchor where that is high."
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


def tell(text: str) -> None:
    """Print a line for the user, without tearing a progress bar."""
    tqdm.write(text, file=sys.stderr)
