"""All figures of one run of the pipeline, from what its stages left."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pandacat.config.training import AugmentedCopiesParams, AugmentParams
from pandacat.core.tables import read_table
from pandacat.data import augment, store
from pandacat.data.augmented_copies import augmented_copies
from pandacat.data.crops import cut_crops
from pandacat.data.store import load_images
from pandacat.evaluation import grad_cam
from pandacat.evaluation.predictions import by_network, predicted_labels
from pandacat.evaluation.scratch_internals import (
    class_probabilities,
    first_filters,
    stage_maps,
)
from pandacat.models import pretrained, scratch
from pandacat.models.saved import SavedModel
from pandacat.report.plots import accuracy, network_internals, photos, reliability, training_curves
from pandacat.report.plots.photos import Changes

COPIES_SHOWN = 6
SEED = 0


def what_goes_in(folder: Path, photo_folder: Path, *, drawn: bool) -> None:
    """Draw `samples.png`."""
    chosen = photos.some_of_each(store.read_index(photo_folder), 6)
    images = load_images(photo_folder, chosen.name)
    photos.samples(folder / "samples.png", chosen, images, drawn=drawn)


def what_training_sees(
    path: Path,
    panda: Image.Image,
    digit: np.ndarray,
    *,
    copies: AugmentedCopiesParams,
    of_photos: AugmentParams,
    of_digits: AugmentParams,
    drawn: bool,
) -> None:
    """Draw augmented copies of a photo and of a digit `(28, 28) uint8`."""
    square = cut_crops(panda, 96, "square")[0]
    rng = np.random.default_rng(SEED)
    rows = [
        Changes(
            "for fine-tuning: another part, other light, coarser, saved again",
            panda,
            list(augmented_copies(panda, 224, replace(copies, count=COPIES_SHOWN), rng)),
        ),
        Changes("for our own network", square, _copies(square, of_photos)),
        Changes(
            "digits for our own network",
            digit,
            [copy[..., 0] for copy in _copies(digit[..., None], of_digits)],
        ),
    ]
    photos.augmentations(path, rows, drawn=drawn)


def _copies(picture: np.ndarray, how: AugmentParams) -> list[np.ndarray]:
    """Return augmented copies, `(H, W, C) uint8`, of a picture of that shape."""
    one = torch.from_numpy(picture.transpose(2, 0, 1).copy()).float() / 255
    same = one.expand(COPIES_SHOWN, *one.shape).contiguous()
    changed = augment.augmented(same, how, torch.Generator().manual_seed(SEED))
    return list((changed * 255).round().byte().permute(0, 2, 3, 1).numpy())


def what_our_network_sees(
    folder: Path, model: SavedModel, picture: np.ndarray, *, name: str, drawn: bool
) -> None:
    """Draw `filters_NAME.png` and `maps_NAME.png`, for a picture `(C, S, S) uint8`."""
    network = scratch.restore(model.description.architecture, model.tensors)
    chances = class_probabilities(network, picture).tolist()
    network_internals.filters(
        folder / f"filters_{name}.png",
        first_filters(network),
        title=f"What the first layer looks for ({name})",
        drawn=drawn,
    )
    network_internals.feature_maps(
        folder / f"maps_{name}.png",
        picture.transpose(1, 2, 0).squeeze(),
        stage_maps(network, picture),
        dict(zip(model.description.labels, chances, strict=True)),
        title=f"One picture on its way through our network ({name})",
        drawn=drawn,
    )


def how_training_went(folder: Path, curves: dict[str, Path], *, drawn: bool) -> None:
    """Draw `curves.png` from the CSV of each training."""
    histories = {title: read_table(path) for title, path in curves.items()}
    training_curves.curves(folder / "curves.png", histories, drawn=drawn)


def what_they_answer(folder: Path, judged: pd.DataFrame, *, where: str, drawn: bool) -> None:
    """Draw confusion, ROC, reliability, risk and open-set scores of one set of photos."""
    photo_count = judged.path.nunique()
    name = where.replace(" ", "_")
    for figure, kind, says in (
        (accuracy.confusions, "confusion", "What each label is taken for"),
        (accuracy.rocs, "roc", "How well the networks tell them apart"),
        (reliability.reliability, "reliability", "As often right as they are sure?"),
        (reliability.risk_coverage, "risk_coverage", "Fewer mistakes by declining the unsure"),
        (reliability.open_set_scores, "open_set", "How probable is panda or cat?"),
    ):
        title = f"{says} ({where}, {photo_count} photos)"
        figure(folder / f"{kind}_{name}.png", judged, title=title, drawn=drawn)


def where_they_are_wrong(
    folder: Path, judged: pd.DataFrame, photo_folder: Path, count: int, *, drawn: bool
) -> None:
    """Draw `mistakes_NETWORK.png` for each network."""
    for network, rows in by_network(judged).items():
        images = load_images(photo_folder, photos.worst_mistakes(rows, count).path)
        path = folder / f"mistakes_{network}.png"
        photos.mistakes(path, rows, count, images, network=network, drawn=drawn)


def what_speaks_for_it(
    folder: Path,
    judged: pd.DataFrame,
    photo_folder: Path,
    model: SavedModel,
    *,
    network: str,
    drawn: bool,
) -> None:
    """Draw `grad_cam.png` for right and wrong answers of a network."""
    restored = pretrained.restore(model.description.backbone, model.tensors)
    chosen = photos.right_and_wrong(judged[judged.network == network], 5)
    images = load_images(photo_folder, chosen.path)
    heats = {
        name: grad_cam.grad_cam(
            restored,
            images[name],
            prediction,
            model.description.crops,
            model.description.label_classes,
        )
        for name, prediction in zip(chosen.path, predicted_labels(chosen), strict=True)
    }
    photos.grad_cam(folder / "grad_cam.png", chosen, images, heats, network=network, drawn=drawn)


def dvc_tables(folder: Path, judged: pd.DataFrame) -> None:
    """Write `confusion_NETWORK.csv` and `roc_NETWORK.csv` for `dvc plots`."""
    for network, rows in by_network(judged).items():
        accuracy.confusion_table(rows).to_csv(folder / f"confusion_{network}.csv", index=False)
        table = accuracy.roc_table(rows, "known_or_other")
        table.round(6).to_csv(folder / f"roc_{network}.csv", index=False)


def all_in_one(folder: Path, measured: dict[str, Any], *, drawn: bool) -> None:
    """Draw `headline.png` from what `evaluate` measured."""
    accuracy.headline(folder / "headline.png", measured, drawn=drawn)
