"""Adapt the pretrained network to these animals, and stay close to what it knows.

Its 1,000 classes are kept and their probabilities summed to panda, cat and other, so that training
starts from the untouched network (epoch 0) and what it learned of other animals is not thrown away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from pandacat import augment, shards, training
from pandacat.features import Features
from pandacat.labels import LABELS
from pandacat.networks.pretrained import PretrainedNetwork, Trunk, group_log_probabilities
from pandacat.params import FineTuneParams
from pandacat.recogniser import average_views
from pandacat.training import Batch, Checkpoint, EpochRecord, Examples, History, ShuffledBatches


@dataclass(frozen=True)
class Data:
    """What to learn from, and photos of which each has several views to validate on."""

    train: Examples
    """Features `(M, D) float32` for the head alone, else pictures `(M, 3, H, W) uint8`."""
    validation: Examples
    """The same with a dimension more: `(N, V, …)`."""


def from_features(index: pd.DataFrame, features: Features) -> Data:
    """Return the features of the views and changed copies of the training photos.

    Each training photo's views and copies count as examples of their own.
    """

    def rows(split: str) -> np.ndarray:
        return np.flatnonzero(index.split == split)

    def classes(split: str) -> Tensor:
        return torch.from_numpy(shards.classes_of(index, split).copy())

    train = np.concatenate([features.views[rows("train")], features.augmented], axis=1)
    return Data(
        Examples(
            torch.from_numpy(train).flatten(0, 1),
            classes("train").repeat_interleave(train.shape[1]),
        ),
        Examples(torch.from_numpy(features.views[rows("validation")]), classes("validation")),
    )


def from_pictures(folder: Path, size_px: int) -> Data:
    """Return the middle squares of the photos."""
    train, validation = (
        Examples(*map(torch.from_numpy, shards.load_squares(folder, split, size_px)))
        for split in ("train", "validation")
    )
    return Data(train, Examples(validation.inputs[:, None], validation.classes))


class WholeNetwork(nn.Module):
    """Trunk and head as one, from pictures `(N, 3, H, W) float32 in [0, 1]` to 1,000 logits.

    Normalisation layers keep the statistics of ImageNet, and nothing is dropped out: with few
    photos that is steadier.
    """

    def __init__(self, trunk: Trunk, head: nn.Linear, trained_stages: int | None) -> None:
        """Train the last so many stages of the trunk besides the head; `None`: all of it."""
        super().__init__()
        self.trunk, self.head = trunk, head
        stages = _stages(trunk)
        trained = stages if trained_stages is None else stages[len(stages) - trained_stages :]
        for name, parameter in trunk.named_parameters():
            parameter.requires_grad_(_stage_of(name) in trained)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(N, 1000)`."""
        normalised = (images * 255 - self.trunk.mean) / self.trunk.std
        logits: Tensor = self.head(self.trunk.body(normalised))
        return logits

    def train(self, mode: bool = True) -> "WholeNetwork":  # noqa: FBT001, FBT002
        """Leave the trunk in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self


def _stage_of(parameter: str) -> str:
    """Return `body.blocks.5` for `body.blocks.5.0.conv.weight`, `body.conv_head` for its weight."""
    parts = parameter.split(".")
    return ".".join(parts[: 3 if parts[2].isdigit() else 2])


def _stages(trunk: Trunk) -> list[str]:
    return list(dict.fromkeys(_stage_of(name) for name, _ in trunk.named_parameters()))


def fine_tune(
    network: PretrainedNetwork,
    data: Data,
    params: FineTuneParams,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> History:
    """Train `network` in place, on the CPU or a GPU, and leave it on the CPU at its best epoch.

    With the strategy `head`, `data` comes from `from_features`, with `last_stages` and
    `everything` from `from_pictures`.

    The loss is the cross-entropy of the three summed probabilities, each label counting the same,
    plus `anchor` times the squared distance from the pretrained weights (L2-SP: Li, Grandvalet and
    Davoine, "Explicit Inductive Bias for Transfer Learning", ICML 2018, equation 2).
    """
    training.make_deterministic()
    train, validation = data.train, data.validation
    compute = training.pick_compute(params.precision)
    learner: nn.Module = network.head
    if params.strategy != "head":
        stages = params.trained_stages if params.strategy == "last_stages" else None
        learner = WholeNetwork(network.trunk, network.head, stages)
    learner.to(compute.device)
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in trained]
    counts = torch.bincount(train.classes, minlength=len(LABELS)).clamp(min=1)
    weights = (len(train) / (counts.count_nonzero() * counts)).to(compute.device)

    def batches(epoch: int) -> ShuffledBatches:
        generator = training.generator_for(params.seed, epoch)

        def change(inputs: Tensor) -> Tensor:
            if params.strategy == "head":
                return inputs
            return augment.augmented(inputs.float() / 255, params.augment, generator)

        return ShuffledBatches(
            train, params.batch_size, generator, transform=change, device=compute.device
        )

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        inputs, classes = batch
        own = group_log_probabilities(learner(inputs).float())[range(len(classes)), classes]
        distance = sum(
            (now - then).square().sum() for now, then in zip(trained, start, strict=True)
        )
        return -(own * weights[classes]).mean() + params.anchor * distance

    def validate(learner: nn.Module) -> dict[str, float]:
        log_probabilities = predicted(learner, validation.inputs, compute.device)
        mean = log_probabilities.exp().mean(dim=1)
        own = mean[range(len(mean)), validation.classes].clamp(min=1e-12)
        return {
            "validation_loss": float(-own.log().mean()),
            "validation_accuracy": float((mean.argmax(1) == validation.classes).double().mean()),
        }

    history = training.fit(
        learner,
        epochs=params.epochs,
        batches=batches,
        loss=loss,
        optimizer=torch.optim.Adam(trained, lr=params.learning_rate),
        schedule=training.warm_up_then_cosine(params.warm_up_share),
        validate=validate,
        score=lambda metrics: -metrics["validation_loss"],
        compute=compute,
        seed=params.seed,
        patience=params.patience,
        start_may_stay=True,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    learner.cpu()
    return history


@torch.inference_mode()
def predicted(learner: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Return `(N, V, 3)` log-probabilities for the views of N photos."""
    parts = []
    for some in inputs.split(64):
        flat = some.flatten(0, 1).to(device)
        flat = flat.float() / 255 if flat.dtype == torch.uint8 else flat
        parts.append(group_log_probabilities(learner(flat)).unflatten(0, some.shape[:2]).cpu())
    return torch.cat(parts)


def fit_temperature(log_probabilities: np.ndarray, classes: np.ndarray) -> float:
    """Return the temperature at which the average over the views fits the labels best.

    Log-probabilities `(N, V, 3)` are divided by it, and the views' probabilities averaged, as the
    finished model does; the log loss of that average is least (Guo et al., "On Calibration of
    Modern Neural Networks", ICML 2017, section 4.2).
    """

    def log_loss(log_temperature: float) -> float:
        mean = average_views(log_probabilities / np.exp(log_temperature))
        own = mean[np.arange(len(classes)), classes]
        return float(-np.log(np.maximum(own, 1e-12)).mean())

    best = minimize_scalar(log_loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(best.x))
