"""Train our own network: on digits and on photos, with the same code."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from pandacat import augment, saved, shards, training
from pandacat.labels import LABELS
from pandacat.measure.intervals import wilson
from pandacat.networks import scratch
from pandacat.networks.scratch import ScratchNetwork, ScratchSpec
from pandacat.params import ScratchParams
from pandacat.sources import mnist, provenance
from pandacat.training import Batch, Checkpoint, EpochRecord, Examples, History, ShuffledBatches

VALIDATION_DIGITS = 5_000
"""The last of the 60,000 that are for training."""


@dataclass(frozen=True)
class Data:
    """What to learn from and to measure on."""

    title: str
    fingerprint: str
    labels: tuple[str, ...]
    splits: dict[str, Examples]
    """`train`, `validation` and, for the digits, `test`: pictures (N, C, S, S) uint8."""

    @property
    def measured(self) -> list[str]:
        """The splits that are not learned from."""
        return [split for split in self.splits if split != "train"]


def digits(folder: Path) -> Data:
    """Return MNIST, with 5,000 of its training digits kept for validation."""

    def examples(split: Literal["train", "test"]) -> Examples:
        images, classes = mnist.read_digits(folder, split=split)
        return Examples(torch.from_numpy(images)[:, None], torch.from_numpy(classes).long())

    official = examples("train")
    train, validation = official.split(len(official) - VALIDATION_DIGITS)
    origin = provenance.read(folder / "provenance.json")
    splits = {"train": train, "validation": validation, "test": examples("test")}
    return Data(origin.title, origin.sha256, tuple("0123456789"), splits)


def animals(folder: Path, side_px: int) -> Data:
    """Return the photos to learn from and those for validation, in squares of `side_px`."""
    splits = {
        split: Examples(*map(torch.from_numpy, shards.load_squares(folder, split, side_px)))
        for split in ("train", "validation")
    }
    fingerprint = shards.fingerprint_of(shards.read_index(folder))
    title = provenance.read(folder / "provenance.json").title
    return Data(title, fingerprint, LABELS, splits)


def train(
    recipe: ScratchParams,
    data: Data,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> tuple[ScratchNetwork, History]:
    """Return the trained network, on the CPU, and how it went."""
    training.make_deterministic()
    compute = training.pick_compute(
        recipe.precision, recipe.memory_format, pin_memory=recipe.pin_memory
    )
    examples, validation = data.splits["train"], data.splits["validation"]
    spec = ScratchSpec(
        image_channels=examples.inputs.shape[1],
        side_px=recipe.side_px,
        channels=recipe.channels,
        depths=recipe.depths,
        classes=len(data.labels),
        dropout=recipe.dropout,
    )
    network = scratch.build(spec, seed=recipe.seed)
    network.normalization.measure(examples.inputs)
    network.to(compute.device)

    def batches(epoch: int) -> ShuffledBatches:
        generator = training.generator_for("batches", recipe.seed, epoch)

        def change(images: Tensor) -> Tensor:
            return augment.augmented(images.float() / 255, recipe.augment, generator)

        return ShuffledBatches(
            examples,
            recipe.batch_size,
            generator,
            transform=change,
            device=compute.device,
            pin_memory=compute.pin_memory,
        )

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        images, classes = batch
        targets = one_hot(classes, len(data.labels)).float()
        images, targets = augment.mixed(images, targets, recipe.mixup, torch.default_generator)
        return cross_entropy(network(images), targets, label_smoothing=recipe.label_smoothing)

    def validate(network: nn.Module) -> dict[str, float]:
        answers = logits(network, validation.inputs)
        return {
            "validation_loss": cross_entropy(answers, validation.classes).item(),
            "validation_accuracy": (answers.argmax(1) == validation.classes).double().mean().item(),
        }

    history = training.fit(
        network,
        epochs=recipe.epochs,
        batches=batches,
        loss=loss,
        optimizer=torch.optim.SGD(
            training.without_decay_of_scales(network, recipe.weight_decay),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
        ),
        schedule=training.warm_up_then_cosine(recipe.warm_up_share),
        validate=validate,
        score=lambda metrics: -metrics["validation_loss"],
        compute=compute,
        seed=recipe.seed,
        patience=recipe.patience,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return network.cpu(), history


def save(folder: Path, network: ScratchNetwork, data: Data, *, side_px: int) -> None:
    """Write the network as a saved model, for photos shrunk to `side_px` before they are cut."""
    description = saved.Description(
        kind="scratch",
        backbone="scratch",
        labels=data.labels,
        views="square",
        size_px=network.spec.side_px,
        temperature=1.0,
        side_px=side_px,
        trained_on=data.fingerprint,
        title=data.title,
        architecture=asdict(network.spec),
    )
    tensors = {f"trunk.{name}": value.numpy() for name, value in network.state_dict().items()}
    saved.save(folder, description, tensors)


@torch.inference_mode()
def logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return (N, classes) for pictures (N, C, S, S) uint8, calculated in float32."""
    device = next(network.parameters()).device
    return torch.cat([network(some.to(device).float() / 255).cpu() for some in images.split(500)])


def accuracy(network: nn.Module, examples: Examples) -> dict[str, float]:
    """Return the share of right answers with its 95 % interval, and the number of wrong ones."""
    right = logits(network, examples.inputs).argmax(dim=1) == examples.classes
    share = wilson(right.double().mean().item(), len(right))
    errors = int((~right).sum())
    return {"accuracy": share.value, "low": share.low, "high": share.high, "errors": errors}
