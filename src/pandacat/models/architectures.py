"""Networks of timm and torchvision: what they take, and whether they fit.

A network fits that ends in one linear layer of the 1,000 ImageNet classes: all before it is the
backbone.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import torch
from torch import nn

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.libraries import ensure_home
from pandacat.labels import IMAGENET_CLASS_COUNT

Weights = Literal["imagenet", "none"]

LIST = "choose one that docs/experiments.md lists"
TWO_FORMS = ("googlenet", "inception_v3")
"""Networks that torchvision builds differently with weights and without."""


@dataclass(frozen=True)
class Architecture:
    """A network by name, and what it takes."""

    name: str
    """As in `params.yaml`."""
    input_px: int
    """Side of the square images that its weights were trained on."""
    mean: Sequence[float]
    """Of each channel in 0…1, subtracted before the first layer."""
    std: Sequence[float]
    """Of each channel in 0…1, divided by before the first layer."""
    builder: Callable[[Weights], nn.Module]

    def build(self, weights: Weights) -> nn.Module:
        """Return the network; ImageNet weights are downloaded, unless they were before."""
        try:
            return self.builder(weights)
        except Exception as error:  # each library fails in ways of its own
            raise _refused(
                self.name,
                f"could not be loaded ({_line(error)}). Check the connection, or use "
                "efficientnet_lite0, which needs no download",
            ) from None


def find(name: str) -> Architecture:
    """Return the architecture `timm/NAME` or `torchvision/NAME`; nothing is downloaded.

    Raises:
        PandacatError: there is none of this name, or none with weights for the ImageNet classes.
    """
    ensure_home()  # which has the libraries' caches
    library, _, short_name = name.partition("/")
    finders = {"timm": _timm, "torchvision": _torchvision}
    if library not in finders or not re.fullmatch(r"[\w.-]+", short_name):  # no address, no path
        raise PandacatError(
            f"predict_pretrained.backbone: {name!r} is none of efficientnet_lite0, "
            "efficientnet_lite1, efficientnet_lite2, timm/NAME and torchvision/NAME."
        )
    return finders[library](short_name)


def check_fit(architecture: Architecture) -> None:
    """Build a network with random weights, and refuse it unless it can be cut.

    Raises:
        PandacatError: it does not end in one linear layer of 1,000 classes.
    """
    network = architecture.build("none").eval()
    images = torch.rand(1, 3, architecture.input_px, architecture.input_px)
    try:
        nn.init.normal_(_last_layer(network)[1].weight)  # some libraries start with zeros
        with torch.inference_mode():
            logits = network(images)
            body, head = cut(network)
            body.load_state_dict(dict(body.state_dict()))  # as a saved model comes back
            fits = torch.allclose(head(body(images)), logits, rtol=1e-4, atol=1e-4)
    except Exception as error:  # each network fails in ways of its own
        raise _refused(architecture.name, f"does not fit ({_line(error)}); {LIST}") from None
    if not fits:
        raise _refused(
            architecture.name,
            f"does not end in one linear layer of {IMAGENET_CLASS_COUNT:,} classes; {LIST}",
        )


def cut(network: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Cut a network into backbone and head; a 1×1 convolution of pooled features is linear, too."""
    path, layer = _last_layer(network)
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    head = nn.Linear(layer.weight.shape[1], len(layer.weight))
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    head.load_state_dict({"weight": layer.weight.flatten(1), "bias": bias})
    return network, head


def _last_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    layers = [
        (path, layer)
        for path, layer in network.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == IMAGENET_CLASS_COUNT)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == IMAGENET_CLASS_COUNT)
    ]
    if not layers:
        raise ValueError(f"it has no linear layer of {IMAGENET_CLASS_COUNT:,} classes")
    return layers[-1]


def _timm(name: str) -> Architecture:
    import timm

    known = timm.list_pretrained() if "." in name else timm.list_models()
    if name not in known:
        raise _unknown(f"timm/{name}", known)
    config = timm.models.get_pretrained_cfg(name)
    if not _fits(config):
        family = name.partition(".")[0].replace("_distilled", "")
        similar = timm.list_pretrained(f"{family}.*")
        fitting = [other for other in similar if _fits(timm.models.get_pretrained_cfg(other))]
        several = not isinstance(config.classifier, str | None)
        reason = "has several heads" if several else "has no weights for the 1,000 ImageNet classes"
        choice = f"choose timm/{fitting[0]}" if fitting else LIST
        raise _refused(f"timm/{name}", f"{reason}; {choice}")

    def builder(weights: Weights) -> nn.Module:
        if weights == "none":
            return timm.create_model(name)
        print_status(f"Loading the weights of timm/{name}; without a network this takes a minute.")
        with _silent_hub():
            return timm.create_model(name, pretrained=True)

    return Architecture(f"timm/{name}", config.input_size[-1], config.mean, config.std, builder)


@contextmanager
def _silent_hub() -> Iterator[None]:
    """Keep the Hugging Face Hub from printing each of its attempts."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _fits(config: Any) -> bool:
    """Return whether timm has weights with one head for the ImageNet classes."""
    classes = config.num_classes if config.has_weights else 0
    return classes == IMAGENET_CLASS_COUNT and isinstance(config.classifier, str)


def _torchvision(name: str) -> Architecture:
    from torchvision import models

    classifiers = models.list_models(module=models)
    if name not in classifiers:
        raise _unknown(f"torchvision/{name}", classifiers)
    if name in TWO_FORMS:
        raise _refused(
            f"torchvision/{name}",
            "is built differently with weights and without; choose timm/inception_v3",
        )
    trained = models.get_model_weights(name).DEFAULT

    def builder(weights: Weights) -> nn.Module:
        return models.get_model(name, weights=trained if weights == "imagenet" else None)

    takes = trained.transforms()
    return Architecture(f"torchvision/{name}", takes.crop_size[0], takes.mean, takes.std, builder)


def _unknown(name: str, known: Iterable[str]) -> PandacatError:
    library, _, short_name = name.partition("/")
    near = [f"{library}/{other}" for other in get_close_matches(short_name, known)]
    hint = f"; is {' or '.join(near)} meant?" if near else f"; {LIST}."
    return PandacatError(
        f"predict_pretrained.backbone: {library} has no network {short_name}{hint}"
    )


def _refused(name: str, reason: str) -> PandacatError:
    return PandacatError(f"predict_pretrained.backbone: {name} {reason}.")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
