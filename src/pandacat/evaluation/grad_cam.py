"""What a network sees in a picture, and what of it speaks for its answer."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pandacat.config.fields import CropScheme
from pandacat.core.errors import PandacatError
from pandacat.data.crops import crop_boxes, cut_crops
from pandacat.labels import LabelClasses
from pandacat.models.pretrained import PretrainedNetwork, label_log_probabilities
from pandacat.models.scratch import ScratchNetwork


def stage_maps(network: ScratchNetwork, picture: np.ndarray) -> list[np.ndarray]:
    """Return the feature maps after each stage, `(C, H, W) float32`.

    `picture` is `(image_channels, S, S) uint8`.
    """
    with torch.inference_mode():
        maps = network.normalization(_batch(picture))
        stages = []
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


def first_filters(network: ScratchNetwork) -> np.ndarray:
    """Return the patterns that the first convolution looks for, `(N, image_channels, 3, 3)`."""
    return next(network.stages.parameters()).detach().numpy()


def grad_cam(
    network: PretrainedNetwork,
    image: Image.Image,
    label: int,
    crops: CropScheme,
    label_classes: LabelClasses,
) -> np.ndarray:
    """Return where the photo speaks for a label, `(H, W) float32` in 0…1, of the photo's size.

    The maps of all crops are laid where they were cut, and averaged. What is explained is the
    log-odds of the label's summed probability: its gradient points where that of the
    log-probability does, but does not vanish when the network is sure.

    Source: Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based
    localization, ICCV 2017, section 3, on the last feature map of the backbone.

    Raises:
        PandacatError: the backbone has no feature map.
    """
    from captum.attr import LayerGradCam

    images = torch.from_numpy(cut_crops(image, network.input_px, crops)).float().requires_grad_()

    def log_odds(images: Tensor) -> Tensor:
        logs = label_log_probabilities(network.head(network.backbone(images)), label_classes)
        rivals = [index for index in range(logs.shape[1]) if index != label]
        return logs[:, label] - logs[:, rivals].logsumexp(dim=1)

    layer = _last_map(network.backbone, images[:1])
    heats = LayerGradCam(log_odds, layer).attribute(images, relu_attributions=True)
    return _laid_over(image, heats[:, 0].detach().numpy(), crops)


def _last_map(backbone: nn.Module, images: Tensor) -> nn.Module:
    """Return the last module to give a map `(N, C, H, W)` of more than one place."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            found.append(module)

    hooks = [module.register_forward_hook(note) for module in backbone.modules()]
    with torch.inference_mode():
        backbone(images)
    for hook in hooks:
        hook.remove()
    if not found:
        raise PandacatError(
            "Grad-CAM needs feature maps, and this backbone has none: choose another as "
            "predict_pretrained.backbone in params.yaml."
        )
    return found[-1]


def _laid_over(image: Image.Image, heats: np.ndarray, crops: CropScheme) -> np.ndarray:
    """Return the mean over the crops of their heats `(V, h, w)`, in the photo's own pixels.

    A crop counts less towards its edges, so that no seam is left.
    """
    width, height = image.size
    total, weight = np.zeros((height, width)), np.zeros((height, width))
    for box, heat in zip(crop_boxes(width, height, crops), heats, strict=True):
        left, top, right, bottom = (round(edge) for edge in box)
        size = (right - left, bottom - top)
        grown = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC))
        inner = np.outer(*(np.hanning(length + 2)[1:-1] for length in reversed(size)))
        total[top:bottom, left:right] += inner * grown.clip(min=0)
        weight[top:bottom, left:right] += inner
    mean = total / weight.clip(min=1e-12)
    return np.asarray(mean / max(mean.max(), 1e-12), np.float32)
