"""What our own network computes on the way from one picture to its prediction."""

import numpy as np
import torch
from torch import Tensor

from pandacat.models.scratch import ScratchNetwork


def first_filters(network: ScratchNetwork) -> np.ndarray:
    """Return the weights of the first convolution, `(N, image_channels, 3, 3) float32`."""
    return next(network.stages.parameters()).detach().numpy()


def stage_maps(network: ScratchNetwork, picture: np.ndarray) -> list[np.ndarray]:
    """Return the feature maps after each stage, `(C, H, W) float32`.

    `picture` is `(image_channels, S, S) uint8`.
    """
    stages = []
    with torch.inference_mode():
        maps = network.normalization(_batch(picture))
        for stage in network.stages:
            maps = stage(maps)
            stages.append(maps[0].numpy())
    return stages


def class_probabilities(network: ScratchNetwork, picture: np.ndarray) -> np.ndarray:
    """Return `(classes,) float32` for a picture `(image_channels, S, S) uint8`."""
    with torch.inference_mode():
        logits: Tensor = network(_batch(picture))
    return logits.softmax(dim=1)[0].numpy()


def _batch(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.copy())[None].float() / 255
