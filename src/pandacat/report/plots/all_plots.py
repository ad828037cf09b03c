"""All plots of one run of the pipeline, from what its stages left."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pandacat.config.schema import Config
from pandacat.config.training import AugmentParams
from pandacat.core.console import print_status
from pandacat.data import augment, store
from pandacat.data.augmented_copies import augmented_copies
from pandacat.data.crops import cut_crops
from pandacat.evaluation import grad_cam
from pandacat.evaluation.compare import OURS
from pandacat.models import pretrained, scratch
from pandacat.models.saved import SavedModel
from pandacat.report.plots import network_internals, photos
from pandacat.report.plots.style import Canvas

COPIES_SHOWN = 6
SEED = 0


def plot_photos(canvas: Canvas, photo_folder: Path, digit: np.ndarray, config: Config) -> None:
    """Draw `samples` and `augmentations`, of a photo of the first label and a digit `(28, 28)`."""
    index, labels = store.read_index(photo_folder), store.read_labels(photo_folder)
    photos.samples(canvas, index, labels, partial(store.load_images, photo_folder))
    photo, rng = sample_photo(photo_folder), np.random.default_rng(SEED)
    square = cut_crops(photo, 96, "square")[0]
    copies = replace(config.predict_pretrained.augmented_copies, count=COPIES_SHOWN)
    params = config.train_scratch
    rows = {
        "photo, for fine-tuning": (photo, list(augmented_copies(photo, 224, copies, rng))),
        "photo, for training from scratch": (square, _copies(square, params.photos.augment)),
        "digit, for training from scratch": (digit, _copies(digit, params.mnist.augment)),
    }
    photos.augmentations(canvas, rows)


def sample_photo(photo_folder: Path) -> Image.Image:
    """Return the first test photo of the first label."""
    index = store.read_index(photo_folder)
    of_label = index.label == store.read_labels(photo_folder)[0]
    name = index[of_label & (index.split == "test")].name.iloc[0]
    return store.load_images(photo_folder, [name])[name]


def _copies(picture: np.ndarray, params: AugmentParams) -> list[np.ndarray]:
    """Return augmented copies, uint8, of a picture `(H, W)` or `(H, W, 3)`."""
    one = torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1).copy()).float() / 255
    same = one.expand(COPIES_SHOWN, *one.shape).contiguous()
    changed = augment.augmented(same, params, torch.Generator().manual_seed(SEED))
    copies = (changed * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [copy.reshape(picture.shape) for copy in copies]


def plot_scratch_network(canvas: Canvas, model: SavedModel, picture: np.ndarray) -> None:
    """Draw `filters` and `maps`, for a picture `(S, S)` or `(S, S, 3) uint8`."""
    network = scratch.restore(model.description.architecture, model.tensors)
    channels_first = np.atleast_3d(picture).transpose(2, 0, 1).copy()
    images = torch.from_numpy(channels_first)[None].float() / 255
    with torch.inference_mode():
        stages = [maps[0].numpy() for maps in network.stage_maps(images)]
        probabilities = network(images).softmax(dim=1)[0].tolist()
    first_convolution = next(network.stages.parameters())
    network_internals.filters(canvas, first_convolution.detach().numpy())
    network_internals.feature_maps(
        canvas,
        picture,
        stages,
        dict(zip(model.description.labels, probabilities, strict=True)),
    )


def plot_grad_cam(
    canvas: Canvas, predictions: pd.DataFrame, photo_folder: Path, model: SavedModel
) -> None:
    """Draw `grad_cam` for the fine-tuned network, which `model` is, if it has feature maps."""
    about = model.description
    network = pretrained.restore(about.backbone, model.tensors)

    def heat_of(image: Image.Image, label: int) -> np.ndarray:
        return grad_cam.grad_cam(network, image, label, about.crops, about.label_classes)

    rows = predictions[predictions.network == OURS]
    try:
        photos.grad_cam(canvas, rows, partial(store.load_images, photo_folder), heat_of)
    except grad_cam.NoFeatureMapError:
        print_status(f"{about.backbone} has no feature maps, so there is no Grad-CAM plot of it.")
