"""Adapt the pretrained network to the labels, and stay close to its pretrained weights.

Its ImageNet classes stay, their probabilities summed to those of the labels, so that training
starts from the pretrained network (epoch 0) and what that learned of other animals is not lost.

The training photos of `other` show few kinds of animals. A head that is free learns to call
everything an in-distribution label that is not one of these. So the rows of the ImageNet classes
that appear among them have a higher learning rate than all others: cats come to differ from these
dogs because the network knows dogs better, not because it takes more for cats.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, one_hot

from pandacat.config.training import FineTuneParams
from pandacat.core.errors import PandacatError
from pandacat.data.augment import augmented, draw_augmentations
from pandacat.labels import LabelClasses, label_groups
from pandacat.models import pretrained
from pandacat.models.pretrained import PretrainedNetwork, label_log_probabilities, pool_crops
from pandacat.models.saved import SavedModel
from pandacat.training.batches import Batch, Dataset, Examples, generator_for, shuffled_batches
from pandacat.training.checkpoint import Checkpoint
from pandacat.training.device import Device, make_deterministic, pick_device
from pandacat.training.distributed import join_processes
from pandacat.training.loop import EpochRecord, FitSettings, History, Task, fit


class UpdatedHead(nn.Module):
    """A pretrained head plus an update, which is trained, with a learning rate for each row.

    Its weights are `pretrained + scale * update`.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Start with an update of 0, and a scale of 1 for each of the rows `(C, D)`."""
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight), persistent=False)
        self.register_buffer("bias", torch.tensor(bias), persistent=False)
        self.register_buffer("scale", torch.ones(len(bias)), persistent=False)
        self.update = nn.Linear(weight.shape[1], len(bias))
        nn.init.zeros_(self.update.weight)
        nn.init.zeros_(self.update.bias)

    def updated(self) -> tuple[Tensor, Tensor]:
        """Return the updated weight `(C, D)` and bias `(C,)`."""
        weight = self.weight + self.scale[:, None] * self.update.weight
        return weight, self.bias + self.scale * self.update.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(…, C)` for features `(…, D)`."""
        return linear(features, *self.updated())

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the updated weights, as a saved model holds them."""
        weight, bias = (tensor.detach().numpy() for tensor in self.updated())
        return {"head.weight": weight, "head.bias": bias}


@torch.inference_mode()
def classes_seen_in_other(
    head: nn.Module, train: Examples, label_classes: LabelClasses, photos: int
) -> list[int]:
    """Return the rows of the head that mean `other` and appear in so many of its training photos.

    They appear in a photo labeled other if they are its most probable class, or that of one of its
    augmented copies.
    """
    logits = head(train.inputs[train.classes == len(label_classes)])
    meaning_other = label_groups(label_classes, logits.shape[-1])[-1]
    seen = Counter(row for rows in logits.argmax(dim=-1).tolist() for row in {*rows})
    return sorted(row for row in meaning_other if seen[row] >= photos)


def trainable_network(
    model: SavedModel, train: Examples, params: FineTuneParams
) -> UpdatedHead | PretrainedNetwork:
    """Return what the strategy trains; frozen parameters need no gradient."""
    if params.strategy == "head":
        head = UpdatedHead(model.tensors["head.weight"], model.tensors["head.bias"])
        label_classes = model.description.label_classes
        seen = classes_seen_in_other(head, train, label_classes, params.seen_class_photos)
        head.scale[seen] = params.seen_class_scale
        return head
    network = pretrained.restore(model.description.backbone, model.tensors)
    if params.strategy == "last_stages":
        stages = {name: stage_of(name) for name, _ in network.backbone.named_parameters()}
        names = list(dict.fromkeys(stages.values()))
        if params.trained_stages >= len(names):
            raise PandacatError(
                f"fine_tune.trained_stages: {model.description.backbone} has {len(names)} stages: "
                f"choose {len(names) - 1} or fewer, or the strategy everything."
            )
        trained = names[-params.trained_stages :]
        for name, parameter in network.backbone.named_parameters():
            parameter.requires_grad_(stages[name] in trained)
    return network


def stage_of(parameter: str) -> str:
    """Return the first numbered module that holds a parameter, else the first of all.

    `body.blocks.5` for `body.blocks.5.0.conv.weight`, `body.conv_head` for `body.conv_head.weight`.
    """
    path = parameter.rpartition(".")[0]
    numbered = re.match(r"body\.(?:[a-z_]+\.)*?[a-z_]*\d+[^.]*", path, re.IGNORECASE)
    return numbered[0] if numbered else ".".join(parameter.split(".")[:2])


class FineTuneTask(Task):
    """The pretrained network or its head, trained with Adam and a pull to the pretrained weights.

    The loss is the cross-entropy of the labels, each label counting the same: half that of the
    photo, and half that of its augmented copies, where there are some. `l2_sp` times the squared
    distance from the pretrained weights is added (L2-SP: Li, Grandvalet and Davoine, "Explicit
    Inductive Bias for Transfer Learning", ICML 2018, equation 2), where the head's scaled updates
    count as if they were not scaled.
    """

    def __init__(
        self, model: SavedModel, dataset: Dataset, params: FineTuneParams, device: Device
    ) -> None:
        """Start from a saved model; `dataset` has features for the strategy `head`, else pixels."""
        self.params, self.device = params, device
        self.train, self.validation = dataset.train.on(device), dataset.validation.on(device)
        self.label_classes = model.description.label_classes
        self.network = trainable_network(model, dataset.train, params).to(device.name)
        self.trained = [weights for weights in self.network.parameters() if weights.requires_grad]
        self.start = [weights.detach().clone() for weights in self.trained]
        self.optimizer = torch.optim.Adam(
            self.trained, lr=params.learning_rate, fused=device.is_gpu, capturable=device.is_gpu
        )
        self.steps_per_epoch = dataset.train.batch_count(params.batch_size)
        counts = torch.bincount(dataset.train.classes, minlength=len(dataset.labels)).clamp(min=1)
        weights = len(dataset.train) / (counts.count_nonzero() * counts)
        self.class_weights = weights.to(device.name)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return shuffled batches; pictures come with the random numbers of their augmentation."""
        rng = generator_for(self.params.seed, epoch)

        def draw(count: int) -> Tensor:
            if self.params.strategy == "head":
                return torch.empty(count, 0)
            return draw_augmentations(count, self.params.augment, rng)

        return shuffled_batches(self.train, self.params.batch_size, rng, draw, self.device)

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return features, or augmented pictures, and their classes."""
        rows, draws = batch
        inputs = self.train.inputs[rows]
        if self.params.strategy != "head":
            images = augmented(inputs.float() / 255, draws, self.params.augment)
            inputs = self.device.laid_out(images)
        return inputs, self.train.classes[rows]

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the class-weighted cross-entropy plus the L2-SP penalty."""
        log_probabilities = self._log_probabilities(inputs)
        is_own = one_hot(targets, log_probabilities.shape[-1])[:, None] > 0
        own = torch.where(is_own, log_probabilities, 0).sum(dim=-1)
        photo, copies = own[:, 0], own[:, 1:]
        if copies.shape[1]:
            photo = (photo + copies.mean(dim=1)) / 2
        pairs = zip(self.trained, self.start, strict=True)
        distance = sum((now - start).square().sum() for now, start in pairs)
        return -(photo * self.class_weights[targets]).mean() + self.params.l2_sp * distance

    def validate(self) -> dict[str, float]:
        """Return loss and accuracy of the validation photos, their crops pooled."""
        parts = self.validation.inputs.split(64)
        if self.params.strategy != "head":
            parts = [part.float() / 255 for part in parts]
        logits = pool_crops(torch.cat([self._log_probabilities(part) for part in parts])).cpu()
        classes = self.validation.classes.cpu()
        return {
            "validation_loss": float(cross_entropy(logits, classes)),
            "validation_accuracy": float((logits.argmax(dim=1) == classes).double().mean()),
        }

    def _log_probabilities(self, inputs: Tensor) -> Tensor:
        """Return `(N, V, K + 1)` for features `(N, V, D)` or pictures `(N, 3, H, W)` in [0, 1]."""
        if self.params.strategy != "head":
            inputs = (inputs * 255).permute(0, 2, 3, 1)
        outputs = label_log_probabilities(self.network(inputs).float(), self.label_classes)
        return outputs.reshape(len(inputs), -1, outputs.shape[-1])


def fine_tune(
    model: SavedModel,
    dataset: Dataset,
    params: FineTuneParams,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> tuple[SavedModel, History]:
    """Return the model with new weights, and its training history.

    The weights lie between the pretrained ones and those of the best epoch (WiSE-FT: Wortsman et
    al., Robust fine-tuning of zero-shot models, CVPR 2022): so it keeps more of what the pretrained
    network knew of other photos than these.
    With the strategy `head`, `dataset` comes from `photo_features`, with `last_stages` and
    `everything` from `photo_pixels`.
    """
    make_deterministic()
    join_processes()
    device = pick_device(params.precision)
    task = FineTuneTask(model, dataset, params, device)
    epochs = max(1, round(params.steps / task.steps_per_epoch))
    settings = FitSettings(
        epochs, params.seed, params.warm_up_share, params.patience, include_epoch_zero=True
    )
    history = fit(task, settings, device=device, checkpoint=checkpoint, on_epoch=on_epoch)
    described = model.described(
        trained_on=dataset.fingerprint, title=dataset.title, drawn=dataset.drawn
    )
    trained = task.network.cpu().tensors()
    return described.with_tensors(_interpolated(model.tensors, trained, params)), history


def _interpolated(
    start: Mapping[str, np.ndarray], trained: Mapping[str, np.ndarray], params: FineTuneParams
) -> dict[str, np.ndarray]:
    share = np.float32(params.interpolation)
    return {name: start[name] + share * (now - start[name]) for name, now in trained.items()}
