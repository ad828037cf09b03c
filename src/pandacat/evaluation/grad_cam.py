"""Grad-CAM: which parts of a photo support a label."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pandacat.config.fields import CropScheme
from pandacat.core.errors import PandacatError
from pandacat.data.crops import crop_boxes, cut_crops
from pandacat.labels import LabelClasses
from pandacat.models.pretrained import PretrainedNetwork, label_log_probabilities


class NoFeatureMapError(PandacatError):
    """A network has no feature map, as a transformer on patches, so that Grad-CAM shows nothing."""


def grad_cam(
    network: PretrainedNetwork,
    image: Image.Image,
    label: int,
    crops: CropScheme,
    label_classes: LabelClasses,
) -> np.ndarray:
    """Return how much each part of an RGB photo supports a label, `(H, W) float32` in 0…1.

    The maps of all crops are pasted where they were cut, and averaged. What is explained is the
    log-odds of the label's summed probability: its gradient has the direction of the
    log-probability's, but does not vanish when the network is sure.

    Source: Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based
    localization, ICCV 2017, section 3, on the last feature map of the backbone.

    Raises:
        NoFeatureMapError: the backbone has no feature map.
    """
    from captum.attr import LayerGradCam

    images = torch.from_numpy(cut_crops(image, network.input_px, crops)).float().requires_grad_()

    def log_odds(images: Tensor) -> Tensor:
        logs = label_log_probabilities(network.head(network.backbone(images)), label_classes)
        rivals = [index for index in range(logs.shape[1]) if index != label]
        return logs[:, label] - logs[:, rivals].logsumexp(dim=1)

    layer = _last_feature_map(network.backbone, images[:1])
    heatmaps = LayerGradCam(log_odds, layer).attribute(images, relu_attributions=True)
    return _combined(image, heatmaps[:, 0].detach().numpy(), crops)


def _last_feature_map(backbone: nn.Module, images: Tensor) -> nn.Module:
    """Return the last module whose output is a square `(N, C, H, H)` with more than one place.

    Transformers on patches have none, but in their first layers, which say nothing about the
    prediction, and in dropouts and softmaxes, which see how much tokens attend to each other.
    """
    calls: list[tuple[nn.Module, bool]] = []

    def record(module: nn.Module, _: object, output: object) -> None:
        shape = output.shape if isinstance(output, Tensor) else ()
        is_map = len(shape) == 4 and shape[2] == shape[3] > 1
        calls.append((module, is_map and not isinstance(module, nn.Dropout | nn.Softmax)))

    hooks = [module.register_forward_hook(record) for module in backbone.modules()]
    with torch.inference_mode():
        backbone(images)
    for hook in hooks:
        hook.remove()
    layers = [module for module, is_map in calls[len(calls) // 10 :] if is_map]
    if not layers:
        raise NoFeatureMapError(
            "Grad-CAM needs feature maps, and this backbone has none: choose another as "
            "predict_pretrained.backbone in params.yaml."
        )
    return layers[-1]


def _combined(image: Image.Image, heatmaps: np.ndarray, crops: CropScheme) -> np.ndarray:
    """Return the mean of the heatmaps `(V, h, w)` of the crops, in the photo's own pixels.

    A crop's weight falls toward its edges, so that no seam is visible.
    """
    width, height = image.size
    total, weight = np.zeros((height, width)), np.zeros((height, width))
    for box, heatmap in zip(crop_boxes(width, height, crops), heatmaps, strict=True):
        left, top, right, bottom = (round(edge) for edge in box)
        size = (right - left, bottom - top)
        enlarged = np.asarray(Image.fromarray(heatmap).resize(size, Image.Resampling.BICUBIC))
        window = np.outer(*(np.hanning(length + 2)[1:-1] for length in reversed(size)))
        total[top:bottom, left:right] += window * enlarged.clip(min=0)
        weight[top:bottom, left:right] += window
    mean = total / weight.clip(min=1e-12)
    return np.asarray(mean / max(mean.max(), 1e-12), np.float32)
