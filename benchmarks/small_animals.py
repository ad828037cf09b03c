"""Small animals in large scenes: validation photos pasted into parts of photos without an animal.

A development set: the second look (`fine_tune.tiling`) was chosen by it. Scenes are windows of
training photos in which the pretrained network sees no animal, 640 by 480 pixels; pasted are
validation photos of all labels, at several sizes. Nothing of the test split or the field test is in
it. Run it on photographs, after `dvc repro evaluate`.
"""

import argparse
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import measuring
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from pandacat.core import paths
from pandacat.core.errors import PandacatError
from pandacat.core.parallel import ordered_map
from pandacat.data import store
from pandacat.data.images import load_image
from pandacat.data.sources.zip_files import open_archive
from pandacat.evaluation.networks import load_networks, predict_image
from pandacat.labels import IMAGENET_ANIMAL_COUNT, OTHER
from pandacat.metrics.intervals import proportion
from pandacat.models.classifier import Classifier
from pandacat.models.probabilities import softmax
from pandacat.models.saved import load_model

SCENE = (640, 480)
SHARES = (0.25, 0.35, 0.45, 0.55)
"""Side of the pasted square, as a share of the scene's height."""
EMPTY_SCENES = 80
WINDOW_SHARE = 0.45
CANDIDATES = 420
"""Training photos whose windows are tried."""
LARGEST_ANIMAL = 0.1
"""Probability of all animals in a scene, at most."""
FEATHER = 0.25
"""Of the radius of the pasted disk: where it becomes transparent."""


@dataclass(frozen=True)
class Case:
    """A scene, and what is in it."""

    label: str
    """`other` for a scene without an animal."""
    share: float
    """Of the pasted square; 0: nothing is pasted."""
    jpeg: bytes


def windows(width: int, height: int) -> list[tuple[float, float, float, float]]:
    """Return boxes as wide as a scene against their height, in the corners and between them."""
    tall = WINDOW_SHARE * min(height, width * SCENE[1] / SCENE[0])
    wide = tall * SCENE[0] / SCENE[1]
    places = [(x * (width - wide), y * (height - tall)) for x in (0, 0.5, 1) for y in (0, 1)]
    return [(left, top, left + wide, top + tall) for left, top in places]


def scene_in(photo: Image.Image, classifier: Classifier) -> Image.Image | None:
    """Return the window with the least of an animal as a scene, if there is none in it."""
    side = (classifier.description.input_px,) * 2
    boxes = windows(*photo.size)
    images = [np.asarray(photo.resize(side, Image.Resampling.BICUBIC, box)) for box in boxes]
    classes = softmax(classifier.class_logits(classifier.features(np.stack(images))))
    animals = classes[:, :IMAGENET_ANIMAL_COUNT].sum(axis=1)
    best = int(animals.argmin())
    if animals[best] >= LARGEST_ANIMAL:
        return None
    return photo.resize(SCENE, Image.Resampling.BICUBIC, boxes[best])


def composed(
    scene: Image.Image, photo: Image.Image | None, share: float, rng: np.random.Generator
) -> bytes:
    """Return the scene, mirrored or not, with a disk of the photo at a random place, compressed."""
    if rng.random() < 0.5:
        scene = scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scene = scene.copy()
    if photo:
        px, side = round(share * scene.height), min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        y, x = np.mgrid[-1 : 1 : px * 1j, -1 : 1 : px * 1j]
        opaque = ((1 - np.hypot(x, y)) / FEATHER).clip(0, 1)
        place = (int(rng.integers(scene.width - px + 1)), int(rng.integers(scene.height - px + 1)))
        mask = Image.fromarray((255 * opaque).astype(np.uint8))
        scene.paste(square.resize((px, px), Image.Resampling.LANCZOS), place, mask)
    jpeg = io.BytesIO()
    scene.save(jpeg, "JPEG", quality=int(rng.integers(70, 95)))
    return jpeg.getvalue()


def scenes(index: pd.DataFrame, classifier: Classifier) -> list[Image.Image]:
    """Return those of training photos, in their original pixels."""
    spec = replace(classifier.image_spec, image_px=640)
    names = index.name[index.split == "train"].to_numpy()
    chosen = names[np.random.default_rng(5).permutation(len(names))[:CANDIDATES]]
    with open_archive(measuring.ARCHIVE) as archive:

        def scene(name: str) -> Image.Image | None:
            photo = load_image(archive.read(name), spec)
            return scene_in(photo, classifier) if min(photo.size) >= 320 else None

        bar = tqdm(ordered_map(scene, chosen), total=len(chosen), desc="scenes", unit="photo")
        return [scene for scene in bar if scene]


def cases(index: pd.DataFrame, places: Sequence[Image.Image]) -> Iterator[Case]:
    """Yield all validation photos in scenes, and scenes without an animal."""
    chosen = index[index.split == "validation"]
    images = store.load_images(paths.PHOTOS, chosen.name)
    for row, (name, label) in enumerate(zip(chosen.name, chosen.label, strict=True)):
        rng, share = np.random.default_rng((7, row)), SHARES[row % len(SHARES)]
        place = places[int(rng.integers(len(places)))]
        yield Case(label, share, composed(place, images[name], share, rng))
    for number in range(EMPTY_SCENES):
        rng = np.random.default_rng((8, number))
        place = places[int(rng.integers(len(places)))]
        yield Case(OTHER, 0, composed(place, None, 0, rng))


def table(
    found: Iterable[tuple[Case, list[np.ndarray]]], labels_of: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return for each network the share of correct predictions, with 95 % intervals."""
    rows = [
        {
            "network": name,
            "label": case.label,
            "share": case.share,
            "right": labels[int(values.argmax())] == case.label,
            "right animal": labels[int(values[:-1].argmax())] == case.label,
        }
        for case, of_networks in found
        for (name, labels), values in zip(labels_of.items(), of_networks, strict=True)
    ]
    every = pd.DataFrame(rows)
    small = every[every.label != OTHER]
    groups = {
        "panda or cat among three": small.right,
        "the right one of the two": small["right animal"],
        **{
            f"among three, {share:g} of the height": small.right[small.share == share]
            for share in SHARES
        },
        "other animals, small": every.right[(every.label == OTHER) & (every.share > 0)],
        "empty scenes": every.right[every.share == 0],
    }
    results = {}
    for title, hits in groups.items():
        by_network = hits.groupby(every.network, sort=False)
        intervals = {name: proportion(own.to_numpy()) for name, own in by_network}
        results[title] = {
            name: f"{100 * one.value:.1f} % ({100 * one.low:.1f}–{100 * one.high:.1f})"
            for name, one in intervals.items()
        }
    return pd.DataFrame(results).T


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    measuring.project()
    index = store.read_index(paths.PHOTOS)
    networks = load_networks(paths.MODELS)
    ours = load_model(paths.MODELS / "fine-tuned")
    once = Classifier(ours.described(tiling=None), networks["fine_tuned"])
    names = ("pretrained", "tuned_threshold", "fine_tuned")
    classifiers = {name: networks[name] for name in names} | {"fine_tuned, one look": once}
    places = scenes(index, networks["pretrained"])
    if not places:
        raise PandacatError("No training photo has a part without an animal: use photographs.")
    print(f"{len(places)} scenes")

    def predicted(case: Case) -> tuple[Case, list[np.ndarray]]:
        return case, predict_image(classifiers, load_image(case.jpeg, once.image_spec))

    every = list(cases(index, places))
    found = tqdm(ordered_map(predicted, every), total=len(every), desc="small", unit="photo")
    labels_of = {name: classifier.labels for name, classifier in classifiers.items()}
    print(table(found, labels_of).to_string())


if __name__ == "__main__":
    measuring.run(main)
