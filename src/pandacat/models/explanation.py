"""Grad-CAM: which parts of a photo support a label. NumPy only."""

import numpy as np
from PIL import Image

from pandacat.config.fields import CropScheme
from pandacat.data.crops import crop_boxes
from pandacat.labels import LabelClasses, label_groups
from pandacat.models.probabilities import label_log_probabilities, log_softmax, softmax

_HEAT = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])
"""Five colors of Matplotlib's `inferno`, evenly spaced."""

SIDE_PX = 160
"""Of a heatmap's shorter side, at most: the maps that it is made of have 10 to 25 values there."""


def grad_cam(
    logits: np.ndarray,
    maps: np.ndarray,
    head_weight: np.ndarray,
    label: int,
    label_classes: LabelClasses,
) -> np.ndarray:
    """Return how much each place of the crops of a photo supports a label, `(V, h, w)`, from 0 up.

    `logits` `(V, C)` and the last feature maps `(V, D, h, w)` are of its crops; the features are
    the means of the maps, and `head_weight` `(C, D)` is the head's. What is explained is the
    photo's log-odds of the label's summed and pooled probability: its gradient has the direction of
    the log-probability's, but does not vanish when the network is sure. Crops that hold much of the
    evidence weigh much.

    Source: Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based
    localization, ICCV 2017, section 3.
    """
    gradient = log_odds_gradient(logits, label, label_classes) @ head_weight
    weighted: np.ndarray = np.einsum("vd,vdhw->vhw", gradient, maps) / maps[0, 0].size
    return weighted.clip(min=0)


def log_odds_gradient(logits: np.ndarray, label: int, label_classes: LabelClasses) -> np.ndarray:
    """Return the gradient `(V, C)` of a photo's log-odds of a label by the logits of its crops."""
    by_crop = label_log_probabilities(logits, label_classes)
    odds = by_crop - by_crop[:, -1:]
    crop_shares = softmax(odds.T).T
    pooled = np.logaddexp.reduce(odds, axis=0)
    by_label = np.zeros(len(pooled))
    rivals = np.arange(len(pooled)) != label
    by_label[rivals] = -softmax(pooled[rivals])
    by_label[label] = 1
    by_odds = crop_shares * by_label
    by_odds[:, -1] = -by_odds[:, :-1].sum(axis=1)  # of the odds of other against itself: none
    gradient = np.zeros_like(logits, dtype=np.float64)
    classes = log_softmax(logits)
    for rows, column in zip(label_groups(label_classes, logits.shape[1]), by_odds.T, strict=True):
        gradient[:, rows] = softmax(classes[:, rows]) * column[:, None]
    return gradient


def heatmap(photo_size: tuple[int, int], evidence: np.ndarray, crops: CropScheme) -> np.ndarray:
    """Return the evidence `(V, h, w)` of crops all over the photo, `(H, W) float32` in 0…1.

    `photo_size` is the photo's width and height; the heatmap's shorter side is at most `SIDE_PX`.
    The maps of all crops are pasted where they were cut, and averaged. A crop's weight falls toward
    its edges, so that no seam is visible.
    """
    scale = min(1, SIDE_PX / min(photo_size))
    width, height = (round(scale * side) for side in photo_size)
    total, weight = np.zeros((2, height, width), np.float32)
    for box, heat in zip(crop_boxes(width, height, crops), evidence, strict=True):
        left, top, right, bottom = (round(edge) for edge in box)
        size = (right - left, bottom - top)
        small = Image.fromarray(heat.astype(np.float32))
        enlarged = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
        edges = (np.hanning(length + 2)[1:-1].astype(np.float32) for length in reversed(size))
        window = np.outer(*edges)
        total[top:bottom, left:right] += window * enlarged.clip(min=0)
        weight[top:bottom, left:right] += window
    mean = total / weight.clip(min=1e-12)
    return np.asarray(mean / max(mean.max(), 1e-12))


def heat_image(heat: np.ndarray) -> Image.Image:
    """Return a heatmap `(H, W)` in 0…1 as an RGBA image to lay over the photo."""
    places = np.linspace(0, 1, len(_HEAT))
    colors = [np.interp(0.3 + 0.65 * heat, places, channel) for channel in _HEAT.T]
    return Image.fromarray(np.rint(np.dstack([*colors, 178 * heat])).astype(np.uint8), "RGBA")


def overlay(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """Return an RGB photo in gray, colored where the heat in 0…1 is high."""
    gray = image.convert("L").convert("RGBA")
    colors = heat_image(heat).resize(image.size, Image.Resampling.BICUBIC)
    return Image.alpha_composite(gray, colors).convert("RGB")
