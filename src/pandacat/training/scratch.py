"""Train the project's own network, on digits and on photos alike."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from pandacat.config.photos import ImageSpec
from pandacat.config.training import ScratchParams
from pandacat.data.augment import mixup
from pandacat.metrics.intervals import wilson
from pandacat.models import scratch
from pandacat.models.saved import Description, SavedModel
from pandacat.models.scratch import ScratchNetwork, ScratchSpec
from pandacat.training.batches import Batch, Dataset, Examples, generator_for, shuffled_batches
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import Device, make_deterministic, pick_device
from pandacat.training.loop import EpochRecord, FitSettings, History, Task, fit


class ScratchTask(Task):
    """The network, trained on augmented pictures by stochastic gradient descent with momentum."""

    def __init__(self, dataset: Dataset, params: ScratchParams, device: Device) -> None:
        """Build the network with random weights."""
        self.dataset, self.params, self.device = dataset, params, device
        spec = ScratchSpec(
            image_channels=dataset.train.inputs.shape[1],
            input_px=params.input_px,
            channels=params.channels,
            depths=params.depths,
            classes=len(dataset.labels),
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
        )
        self.steps_per_epoch = dataset.train.batch_count(params.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return shuffled batches of augmented pictures."""
        params, rng = self.params, generator_for("batches", self.params.seed, epoch)
        examples = self.dataset.train
        return shuffled_batches(examples, params.batch_size, params.augment, rng, self.device)

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the pictures, blended by mixup."""
        images, classes = batch
        targets = one_hot(classes, len(self.dataset.labels)).float()
        images, targets = mixup(images, targets, self.params.mixup, torch.default_generator)
        smoothing = self.params.label_smoothing
        return cross_entropy(self.network(images), targets, label_smoothing=smoothing)

    def validate(self) -> dict[str, float]:
        """Return loss and accuracy on the validation split, without augmentation."""
        classes = self.dataset.validation.classes
        logits = scratch_logits(self.network, self.dataset.validation.inputs)
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
    device = pick_device(params.precision, params.memory_format, pin_memory=params.pin_memory)
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
    return torch.cat([network(part.to(device).float() / 255).cpu() for part in images.split(500)])
