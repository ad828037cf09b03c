"""All networks on the same photos that none of them has seen."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pandacat import features, photos, predictions, shards
from pandacat.errors import PandacatError, printable
from pandacat.features import Features
from pandacat.labels import IMAGENET_CLASSES, LABELS
from pandacat.measure import calibration, open_set
from pandacat.measure.accuracy import log_losses, right_between_two
from pandacat.measure.intervals import Interval
from pandacat.measure.paired import mcnemar, paired_difference
from pandacat.parallel import ordered_map
from pandacat.params import FolderParams, PreprocessParams
from pandacat.recogniser import MAX_MEGAPIXELS, Recogniser, open_model, see, widest
from pandacat.saved import SavedModel
from pandacat.sources import archive as archives
from pandacat.splits import group_near_duplicates

NETWORKS = {
    "scratch": "scratch-photos",
    "pretrained": "pretrained",
    "plain": "plain",
    "fine_tuned": "fine-tuned",
}
"""The saved model of each network, by the name under which its figures appear."""

OURS = "fine_tuned"
"""The network that the others are compared with."""

Recognisers = Mapping[str, Recogniser]
"""By the name under which their figures appear."""

OVER_VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "centre": lambda scores: scores[:, 0],
    "mean": lambda scores: scores.mean(axis=1),
    "largest": lambda scores: scores.max(axis=1),
}
"""How the scores `(N, V)` of a photo's views become one."""


@dataclass(frozen=True)
class Seen:
    """Photos, and what each trunk makes of them."""

    index: pd.DataFrame
    """`name`, `label` and `split` of each photo."""
    features: Mapping[str, np.ndarray]
    """`(N, V, D)` by trunk key, the most views that a network with this trunk looks at."""

    def by(self, recogniser: Recogniser) -> np.ndarray:
        """Return the features `(N, V, D)` of the views that `recogniser` looks at."""
        return self.features[recogniser.trunk_key][:, : recogniser.view_count]


@dataclass(frozen=True)
class Measured:
    """What was found on one set of photos."""

    judged: pd.DataFrame
    """What each network says of each photo: `predictions`' columns, and `network`."""
    paired: pd.DataFrame
    """See `compare_networks`."""
    open_set_scores: pd.DataFrame
    """See `compare_open_set_scores`."""
    seed: int

    def metrics(self) -> dict[str, Any]:
        """Return, for each network, how often it is right and how far it can be trusted.

        Besides the headline figures: `calibration_error`, the expected calibration error of the
        verdicts, and what a perfectly calibrated network would stay below by chance;
        `open_set`, how well the larger probability of panda and cat tells these from all others;
        how far ours is ahead of each other network; for ours, the open-set scores compared.
        """
        found = {
            str(name): predictions.figures(table, seed=self.seed) | self._trust(table)
            for name, table in self.judged.groupby("network", sort=False)
        }
        for row in self.paired.to_dict("records"):
            shown = ["ahead", "low", "high", *(["p_value"] if row["p_value"] >= 0 else [])]
            ahead = {name.replace("ahead", "value"): row[name] for name in shown}
            found[row["rival"]].setdefault(f"{OURS}_ahead", {})[row["measure"]] = ahead
        mean = self.open_set_scores[self.open_set_scores.views == "mean"]
        if len(mean):
            shown = ["auroc", "false_positive_rate"]
            found[OURS]["open_set_scores"] = mean.set_index("score")[shown].to_dict("index")
        return found

    def _trust(self, judged: pd.DataFrame) -> dict[str, Any]:
        labels, probabilities = predictions.arrays(judged)
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        figures: dict[str, Any] = {
            "calibration_error": calibration.expected_calibration_error(sure, right),
            "calibration_error_by_chance": calibration.calibration_error_by_chance(sure, self.seed),
        }
        known = labels != LABELS.index("other")
        if 0 < known.sum() < len(known):
            found = open_set.open_set_figures(open_set.known_score(probabilities), known)
            figures["open_set"] = {name: asdict(interval) for name, interval in found.items()}
        return figures


def open_networks(models: Path) -> dict[str, Recogniser]:
    """Return all networks that are compared, from the folder of saved models."""
    return {name: open_model(model, models=models) for name, model in NETWORKS.items()}


def see_split(recognisers: Recognisers, split: str, *, photo_folder: Path, kept: Features) -> Seen:
    """Return the photos of a split as the networks see them."""
    index = shards.read_index(photo_folder)
    return Seen(
        index[index.split == split],
        {
            key: features.of_split(
                split,
                recogniser,
                view=recogniser.description.views,
                photo_folder=photo_folder,
                kept=kept,
            )
            for key, recogniser in widest(recognisers.values()).items()
        },
    )


def see_archive(
    recognisers: Recognisers,
    archive: Path,
    folders: FolderParams,
    params: PreprocessParams,
    *,
    photo_folder: Path,
) -> Seen:
    """Return the labelled photos of a zip or folder from elsewhere as the networks see them.

    What can't be read, copies of photos in `photo_folder`, which are not from elsewhere, and of
    each other, which would count twice, are left out and named on stderr. Features take some 60 kB
    of memory a photo.

    Raises:
        PandacatError: the archive can't be used, or no panda or no cat is left.
    """
    try:
        with TemporaryDirectory() as folder:
            taken = Path(folder) / "photos.zip"
            archives.take_in(archive, taken)
            found = archives.survey(taken, folders)
            print(f"Field test: {found}", file=sys.stderr)
            with archives.open_archive(taken) as reader:
                looks = _look_at(reader, found.photos, recognisers, params.side_px)
        return _from_elsewhere(looks, shards.read_index(photo_folder), params.near_duplicate_bits)
    except PandacatError as error:
        raise PandacatError(f"evaluate.field_test, {archive}: {error}") from None


@dataclass(frozen=True)
class _Look:
    """At one photo of an archive."""

    entry: archives.Entry
    fingerprints: tuple[str, str]
    features: dict[str, np.ndarray]
    """`(V, D)` by trunk key."""


def _look_at(
    reader: archives.Reader,
    entries: Sequence[archives.Entry],
    recognisers: Recognisers,
    side_px: int,
) -> list[_Look]:
    def look(entry: archives.Entry) -> _Look | str:
        try:
            data = reader.read(entry.name)
            image = photos.read(data, side_px=side_px, max_megapixels=MAX_MEGAPIXELS).image
        except (archives.EntryError, photos.UnreadablePhotoError) as error:
            return f"{entry.name} ({error})"
        return _Look(entry, photos.fingerprint(image), see(image, recognisers.values()))

    results = ordered_map(look, entries)
    found = list(tqdm(results, total=len(entries), desc="field test", unit="photo", disable=None))
    _tell_of_left_out([one for one in found if isinstance(one, str)], "can't be read")
    return [one for one in found if isinstance(one, _Look)]


def _from_elsewhere(looks: Sequence[_Look], own: pd.DataFrame, most_bits: int) -> Seen:
    """Leave out copies of the photos in the index `own`, and of each other."""
    plain, mirrored = (
        zip(*(look.fingerprints for look in looks), strict=True) if looks else ((), ())
    )
    groups = group_near_duplicates(
        [*own.fingerprint, *plain], [*own.mirrored_fingerprint, *mirrored], most_bits
    )
    table = pd.DataFrame(
        {
            "name": [look.entry.name for look in looks],
            "label": [look.entry.label for look in looks],
            "group": groups[len(own) :],
        }
    )
    known = table.group.isin(groups[: len(own)])
    disputed = ~known & (table.groupby("group").label.transform("nunique") > 1)
    repeated = ~known & ~disputed & table.duplicated("group")
    _tell_of_left_out(table.name[known], "are copies of photos in data/photos")
    _tell_of_left_out(table.name[disputed], "are there under several labels")
    _tell_of_left_out(table.name[repeated], "are copies of others in it")
    kept = table[~(known | disputed | repeated)]
    for label in archives.NEEDED_LABELS:
        if label not in set(kept.label):
            raise PandacatError(
                f"no photo of {label} is left, without those that can't be read and copies: "
                "add others, or set it to null."
            )
    index = kept[["name", "label"]].assign(split="field_test").reset_index(drop=True)
    return Seen(index, stacked([looks[row].features for row in kept.index]))


def _tell_of_left_out(names: Collection[str], why: str) -> None:
    if len(names):
        some = ", ".join(map(printable, islice(names, 3))) + (", …" if len(names) > 3 else "")
        print(f"Field test: {len(names)} photos {why} and are left out: {some}", file=sys.stderr)


def stacked(seen: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the features of several photos, `(N, V, D)` by trunk key."""
    return {key: np.stack([features[key] for features in seen]) for key in seen[0]}


def judge(recognisers: Recognisers, seen: Seen) -> pd.DataFrame:
    """Return what each network says of each photo: `predictions`' columns, and `network`."""
    return pd.concat(
        [
            predictions.table(seen.index, recogniser.probabilities(seen.by(recogniser))).assign(
                network=name
            )
            for name, recogniser in recognisers.items()
        ],
        ignore_index=True,
    )


def compare_networks(judged: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return how far our network is ahead of each other one, photo by photo.

    Returns:
        A row for each other network (`rival`) and `measure`: `ahead`, with the bounds `low` and
        `high` of its paired bootstrap interval, above 0 where ours is better; for accuracies the
        number of photos on which `only_ours` and `only_rival` is right, and McNemar's `p_value`.
    """
    tables = {str(name): table for name, table in judged.groupby("network", sort=False)}
    labels, ours = predictions.arrays(tables.pop(OURS))
    known = labels != LABELS.index("other")
    rows = []
    for rival, table in tables.items():
        theirs = predictions.arrays(table)[1]
        accuracies = {
            "two_class_accuracy": (
                right_between_two(labels, ours),
                right_between_two(labels, theirs),
                labels[known],
            ),
            "three_class_accuracy": (
                ours.argmax(axis=1) == labels,
                theirs.argmax(axis=1) == labels,
                labels,
            ),
        }
        for measure, (own_right, their_right, strata) in accuracies.items():
            if not len(strata):
                continue
            ahead = paired_difference(own_right, their_right, strata, seed)
            test = mcnemar(own_right, their_right)
            rows.append(
                {
                    "rival": rival,
                    "measure": measure,
                    **_bounds(ahead),
                    "only_ours": test.only_first,
                    "only_rival": test.only_second,
                    "p_value": test.p_value,
                }
            )
        losses = log_losses(labels, theirs), log_losses(labels, ours)
        rows.append(
            {
                "rival": rival,
                "measure": "log_loss",
                **_bounds(paired_difference(*losses, labels, seed)),
            }
        )
    return pd.DataFrame(rows)


def _bounds(ahead: Interval) -> dict[str, float]:
    return {"ahead": ahead.value, "low": ahead.low, "high": ahead.high}


@dataclass(frozen=True)
class Known:
    """Training photos of pandas and cats, from which open-set scores may learn."""

    features: np.ndarray
    """`(M, D)`, the centre view of each."""
    labels: np.ndarray
    """`(M,)`."""


def known_photos(recogniser: Recogniser, *, photo_folder: Path, kept: Features) -> Known:
    """Return the training photos of pandas and cats: what the trunk makes of their centres."""
    index = shards.read_index(photo_folder)
    seen = features.of_split(
        "train", recogniser, view="centre", photo_folder=photo_folder, kept=kept
    )
    labels = shards.classes_of(index, "train")
    known = labels != LABELS.index("other")
    return Known(seen[known, 0], labels[known])


def compare_open_set_scores(
    features: np.ndarray, labels: np.ndarray, model: SavedModel, known: Known
) -> pd.DataFrame:
    """Return how well several scores tell pandas and cats from all others.

    Args:
        features: `(N, V, D)` of the photos.
        labels: `(N,)`.
        model: with a head of 1,000 classes.
        known: what the scores may learn from.

    Returns:
        A row for each `score` and way to make one of those of the `views`: `auroc` and
        `false_positive_rate` at 95 % recall, each with its bounds `…_low` and `…_high`; no rows
        where the photos are all of one kind.
    """
    positive = labels != LABELS.index("other")
    if positive.all() or not positive.any():
        return pd.DataFrame(columns=["score", "views", "auroc", "false_positive_rate"])
    flat = features.reshape(-1, features.shape[-1])
    compared = open_set.scores(
        flat @ model.tensors["head.weight"].T + model.tensors["head.bias"],
        flat,
        known.features,
        known.labels,
        [IMAGENET_CLASSES["panda"], IMAGENET_CLASSES["cat"]],
    )
    rows = []
    for score, values in compared.items():
        for views, together in OVER_VIEWS.items():
            scores = together(values.reshape(features.shape[:2]))
            figures = open_set.open_set_figures(scores, positive)
            row: dict[str, Any] = {"score": score, "views": views}
            for name, found in figures.items():
                row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def measure(
    recognisers: Recognisers, seen: Seen, model: SavedModel, known: Known, *, seed: int
) -> Measured:
    """Return what there is to say of the networks on one set of photos.

    `model` is ours as it was saved, `known` what open-set scores may learn from.
    """
    judged = judge(recognisers, seen)
    labels = predictions.arrays(judged[judged.network == OURS])[0]
    return Measured(
        judged,
        compare_networks(judged, seed=seed),
        compare_open_set_scores(seen.by(recognisers[OURS]), labels, model, known),
        seed,
    )
