"""Train the project's own network, on digits and on photos alike."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from pandacat.config.photos import ImageSpec
from pandacat.config.training import ScratchParams
from pandacat.data.augment import augmented, draw_augmentations, draw_mixup, mixup
from pandacat.metrics.intervals import wilson
from pandacat.models import scratch
from pandacat.models.saved import Description, SavedModel
from pandacat.models.scratch import ScratchNetwork, ScratchSpec
from pandacat.training.batches import Batch, Dataset, Examples, generator_for, shuffled_batches
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import Device, make_deterministic, pick_device
from pandacat.training.distributed import join_processes
from pandacat.training.loop import EpochRecord, FitSettings, History, Task, fit

AT_ONCE = 64
"""Pictures that are classified at once; the maps of more would not fit into a processor's cache."""


class ScratchTask(Task):
    """The network, trained on augmented pictures by stochastic gradient descent with momentum."""

    def __init__(self, dataset: Dataset, params: ScratchParams, device: Device) -> None:
        """Build the network with random weights."""
        self.params, self.device = params, device
        self.train, self.validation = dataset.train.on(device), dataset.validation.on(device)
        self.class_count = len(dataset.labels)
        spec = ScratchSpec(
            image_channels=dataset.train.inputs.shape[1],
            input_px=params.input_px,
            channels=params.channels,
            depths=params.depths,
            classes=self.class_count,
            dropout=params.dropout,
        )
        self.network = scratch.build(spec, seed=params.seed)
        self.network.normalization.measure(dataset.train.inputs)
        self.network.to(device.name)
        weights = list(self.network.parameters())
        decayed = [tensor for tensor in weights if tensor.ndim > 1]
        undecayed = [tensor for tensor in weights if tensor.ndim <= 1]  # biases and normalization
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": params.weight_decay},
            {"params": undecayed},
        ]
        self.optimizer = torch.optim.SGD(
            groups,
            lr=params.learning_rate,
            momentum=params.momentum,
            nesterov=params.momentum > 0,
            fused=device.is_gpu,
        )
        self.steps_per_epoch = dataset.train.batch_count(params.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return shuffled batches, with the random numbers of augmentation and mixup."""
        rng = generator_for("batches", self.params.seed, epoch)

        def draw(count: int) -> Tensor:
            mixed = draw_mixup(count, self.params.mixup, torch.default_generator)
            return torch.cat([draw_augmentations(count, self.params.augment, rng), mixed], dim=1)

        return shuffled_batches(self.train, self.params.batch_size, rng, draw, self.device)

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return augmented pictures, blended by mixup, and the probabilities of their classes."""
        rows, draws = batch
        images = self.train.inputs[rows].float() / 255
        images = self.device.laid_out(augmented(images, draws, self.params.augment))
        targets = one_hot(self.train.classes[rows], self.class_count).float()
        return mixup(images, targets, draws[:, -1:])

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy."""
        smoothing = self.params.label_smoothing
        return cross_entropy(self.network(inputs), targets, label_smoothing=smoothing)

    def validate(self) -> dict[str, float]:
        """Return loss and accuracy on the validation split, without augmentation."""
        logits = scratch_logits(self.network, self.validation.inputs)
        classes = self.validation.classes.cpu()
        return {
            "validation_loss": cross_entropy(logits, classes).item(),
            "validation_accuracy": (logits.argmax(1) == classes).double().mean().item(),
        }


def train_scratch(
    dataset: Dataset,
    params: ScratchParams,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> tuple[ScratchNetwork, History]:
    """Return the trained network, on the CPU, and its training history."""
    make_deterministic()
    join_processes()
    device = pick_device(params.precision, params.memory_format)
    task = ScratchTask(dataset, params, device)
    settings = FitSettings(params.epochs, params.seed, params.warm_up_share, params.patience)
    history = fit(task, settings, device=device, checkpoint=checkpoint, on_epoch=on_epoch)
    return task.network.cpu(), history


def scratch_model(network: ScratchNetwork, dataset: Dataset, image: ImageSpec | None) -> SavedModel:
    """Return the network as a model to save, for photos that become pixels as `image` says."""
    description = Description(
        kind="scratch",
        backbone="scratch",
        labels=dataset.labels,
        label_classes=(),
        crops="square",
        input_px=network.spec.input_px,
        temperature=1.0,
        image=image,
        trained_on=dataset.fingerprint,
        title=dataset.title,
        drawn=dataset.drawn,
        architecture=asdict(network.spec),
    )
    state = network.state_dict()
    return SavedModel(description, {f"backbone.{name}": state[name].numpy() for name in state})


def scratch_metrics(network: ScratchNetwork, history: History, dataset: Dataset) -> dict[str, Any]:
    """Return the accuracy on the splits that are not trained on, and the size of the network."""
    splits = {"validation": dataset.validation, "test": dataset.test}
    return {
        **{name: scratch_accuracy(network, split) for name, split in splits.items() if split},
        "epochs": len(history.epochs),
        "best_epoch": history.best.epoch,
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "multiply_adds": scratch.multiply_adds(network),
    }


def scratch_accuracy(network: nn.Module, examples: Examples) -> dict[str, float]:
    """Return the accuracy with its 95 % interval, and the number of errors."""
    correct = scratch_logits(network, examples.inputs).argmax(dim=1) == examples.classes
    share = wilson(correct.double().mean().item(), len(correct))
    errors = int((~correct).sum())
    return {"accuracy": share.value, "low": share.low, "high": share.high, "errors": errors}


@torch.inference_mode()
def scratch_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return `(N, classes)` for pictures `(N, C, S, S) uint8`, calculated in float32."""
    device = next(network.parameters()).device
    parts = [network(part.to(device).float() / 255) for part in images.split(AT_ONCE)]
    return torch.cat(parts).cpu()
