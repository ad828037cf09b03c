"""Adapt the pretrained network to these animals, and stay close to what it knows.

Its 1,000 classes are kept and their probabilities summed to panda, cat and other, so that training
starts from the untouched network (epoch 0) and what it learned of other animals is not thrown away.

The training photos show few kinds of other animals. Told to tell cats from these, a network soon
calls everything a cat that is not one of these. So the classes of the kinds that are there are free
to move far, and all others are held: cats come to differ from these dogs because the network knows
dogs better, not because it takes more for cats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pandacat.config.training import FineTuneParams
from pandacat.data import augment, store
from pandacat.data.features import Features
from pandacat.labels import LabelClasses, label_groups
from pandacat.models import pretrained
from pandacat.models.pretrained import Backbone, label_log_probabilities, pool_crops
from pandacat.models.saved import Description, SavedModel
from pandacat.training.batches import Batch, Examples, ShuffledBatches, generator_for
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import make_deterministic, pick_compute
from pandacat.training.loop import EpochRecord, History, fit, warm_up_then_cosine


@dataclass(frozen=True)
class Data:
    """What to learn from, and photos of which each has several crops to validate on."""

    train: Examples
    """Features `(M, 1 + C, D) float32` of the center and of augmented copies for the head alone,
    else pictures `(M, 3, H, W) uint8`."""
    validation: Examples
    """Features `(N, V, D)`, else pictures `(N, 1, 3, H, W)`."""
    label_classes: LabelClasses
    """For each label but `other`, the rows of the head that mean it."""


def from_features(index: pd.DataFrame, features: Features, description: Description) -> Data:
    """Return the features of the photos, whose labels are those of the described model."""

    def examples(split: str, inputs: np.ndarray) -> Examples:
        labels = store.split_labels(index, split, description.labels)
        return Examples(*map(torch.from_numpy, (inputs, labels)))

    centers = features.centers[np.flatnonzero(index.split == "train"), None]
    return Data(
        examples("train", np.concatenate([centers, features.copies], axis=1)),
        examples("validation", np.array(features.validation_crops)),
        description.label_classes,
    )


def from_pictures(folder: Path, description: Description) -> Data:
    """Return the middle squares of the photos, of the size that the described model takes."""
    train, validation = (
        Examples(*map(torch.from_numpy, store.load_squares(folder, split, description.input_px)))
        for split in ("train", "validation")
    )
    validation = Examples(validation.inputs[:, None], validation.classes)
    return Data(train, validation, description.label_classes)


class MovedHead(nn.Module):
    """The head, and how far each class has moved from where it was, in steps of its reach."""

    def __init__(self, head: nn.Linear, reach: Tensor) -> None:
        """Start where the head is; `reach` is `(1000,)`."""
        super().__init__()
        self.moved = nn.Linear(head.in_features, head.out_features)
        nn.init.zeros_(self.moved.weight)
        nn.init.zeros_(self.moved.bias)
        self.register_buffer("start_weight", head.weight.detach().clone(), persistent=False)
        self.register_buffer("start_bias", head.bias.detach().clone(), persistent=False)
        self.register_buffer("reach", reach, persistent=False)

    start_weight: Tensor
    start_bias: Tensor
    reach: Tensor

    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """Return where the head is now: `(1000, D)`, `(1000,)`."""
        return (
            self.start_weight + self.reach[:, None] * self.moved.weight,
            self.start_bias + self.reach * self.moved.bias,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(…, 1000)` for features `(…, D)`."""
        return nn.functional.linear(features, *self.weight_and_bias())

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the weights that training has changed, as a saved model holds them."""
        weight, bias = (tensor.detach().numpy() for tensor in self.weight_and_bias())
        return {"head.weight": weight, "head.bias": bias}


@torch.inference_mode()
def classes_seen_in_other(head: nn.Linear, data: Data) -> Tensor:
    """Return `(C,) bool`: the classes that mean `other` and appear among its training photos.

    They are the most probable class of a photo labeled other, or of an augmented copy of one.
    """
    other = len(data.label_classes)
    inputs = data.train.inputs[data.train.classes == other]
    appears = torch.zeros(head.out_features, dtype=torch.bool)
    appears[head(inputs).argmax(dim=-1).flatten()] = True
    means_other = torch.zeros(head.out_features, dtype=torch.bool)
    means_other[label_groups(data.label_classes, head.out_features)[-1]] = True
    return appears & means_other


class WholeNetwork(nn.Module):
    """Backbone and head as one, from pictures `(N, 3, H, W) float32 in [0, 1]` to 1,000 logits.

    Normalization layers keep the statistics of ImageNet, and nothing is dropped out: with few
    photos that is steadier.
    """

    def __init__(self, backbone: Backbone, head: nn.Linear, trained_stages: int | None) -> None:
        """Train the last so many stages of the backbone besides the head; `None`: all of it."""
        super().__init__()
        self.backbone, self.head = backbone, head
        stages = _stages(backbone)
        trained = stages if trained_stages is None else stages[len(stages) - trained_stages :]
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(_stage_of(name) in trained)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(N, 1000)`."""
        normalized = (images * 255 - self.backbone.mean) / self.backbone.std
        logits: Tensor = self.head(self.backbone.body(normalized))
        return logits

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all weights, as a saved model holds them."""
        return pretrained.named_arrays(backbone=self.backbone, head=self.head)

    def train(self, mode: bool = True) -> "WholeNetwork":  # noqa: FBT001, FBT002
        """Leave the backbone in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self


def _stage_of(parameter: str) -> str:
    """Return `body.blocks.5` for `body.blocks.5.0.conv.weight`, `body.conv_head` for its weight."""
    parts = parameter.split(".")
    return ".".join(parts[: 3 if parts[2].isdigit() else 2])


def _stages(backbone: Backbone) -> list[str]:
    return list(dict.fromkeys(_stage_of(name) for name, _ in backbone.named_parameters()))


def _learner(untouched: SavedModel, data: Data, params: FineTuneParams) -> MovedHead | WholeNetwork:
    if params.strategy == "head":
        head = pretrained.restore_head(untouched.tensors)
        return MovedHead(
            head, torch.where(classes_seen_in_other(head, data), params.seen_class_scale, 1.0)
        )
    network = pretrained.restore(untouched.description.backbone, untouched.tensors)
    stages = params.trained_stages if params.strategy == "last_stages" else None
    return WholeNetwork(network.backbone, network.head, stages)


def fine_tune(
    untouched: SavedModel,
    data: Data,
    params: FineTuneParams,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> tuple[dict[str, np.ndarray], History]:
    """Return the weights of the network after its best epoch, and how training went.

    With the strategy `head`, `data` comes from `from_features`, with `last_stages` and
    `everything` from `from_pictures`.

    The loss is the cross-entropy of the three summed probabilities, each label counting the same:
    half that of the photo, and half that of its augmented copies, where there are some. `l2_sp`
    times the squared distance from the pretrained weights is added (L2-SP: Li, Grandvalet and
    Davoine, "Explicit Inductive Bias for Transfer Learning", ICML 2018, equation 2); of the head
    alone, classes that `classes_seen_in_other` names move `seen_class_scale` times as far at this
    price.
    """
    make_deterministic()
    train, validation = data.train, data.validation
    compute = pick_compute(params.precision)
    learner = _learner(untouched, data, params)
    learner.to(compute.device)
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in trained]
    label_count = len(data.label_classes) + 1
    counts = torch.bincount(train.classes, minlength=label_count).clamp(min=1)
    weights = (len(train) / (counts.count_nonzero() * counts)).to(compute.device)

    def batches(epoch: int) -> ShuffledBatches:
        generator = generator_for(params.seed, epoch)

        def change(inputs: Tensor) -> Tensor:
            if params.strategy == "head":
                return inputs
            return augment.augmented(inputs.float() / 255, params.augment, generator)

        return ShuffledBatches(
            train, params.batch_size, generator, transform=change, device=compute.device
        )

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        inputs, classes = batch
        outputs = label_log_probabilities(learner(inputs).float(), data.label_classes)
        outputs = outputs.reshape(len(classes), -1, label_count)
        right = outputs[range(len(classes)), :, classes]
        own, copies = right[:, 0], right[:, 1:]
        if copies.shape[1]:
            own = (own + copies.mean(dim=1)) / 2
        distance = sum(
            (now - then).square().sum() for now, then in zip(trained, start, strict=True)
        )
        return -(own * weights[classes]).mean() + params.l2_sp * distance

    def validate(learner: nn.Module) -> dict[str, float]:
        logits = pool_crops(predicted(learner, data, compute.device))
        right = logits.argmax(dim=1) == validation.classes
        return {
            "validation_loss": float(nn.functional.cross_entropy(logits, validation.classes)),
            "validation_accuracy": float(right.double().mean()),
        }

    history = fit(
        learner,
        epochs=max(1, round(params.steps / len(batches(1)))),
        batches=batches,
        loss=loss,
        optimizer=torch.optim.Adam(trained, lr=params.learning_rate),
        schedule=warm_up_then_cosine(params.warm_up_share),
        validate=validate,
        score=lambda metrics: -metrics["validation_loss"],
        compute=compute,
        seed=params.seed,
        patience=params.patience,
        include_epoch_zero=True,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    learner.cpu()
    return {**untouched.tensors, **learner.tensors()}, history


@torch.inference_mode()
def predicted(learner: nn.Module, data: Data, device: torch.device) -> Tensor:
    """Return `(N, V, K + 1)` log-probabilities for the crops of the validation photos."""
    parts = []
    for some in data.validation.inputs.split(64):
        flat = some.flatten(0, 1).to(device)
        flat = flat.float() / 255 if flat.dtype == torch.uint8 else flat
        outputs = label_log_probabilities(learner(flat), data.label_classes)
        parts.append(outputs.unflatten(0, some.shape[:2]).cpu())
    return torch.cat(parts)
