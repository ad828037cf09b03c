"""Sentences and small tables of the report and the model card, chosen by the results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pandacat.evaluation import shortcuts
from pandacat.evaluation.compare import OURS
from pandacat.evaluation.predictions import is_correct, label_names, labels_and_probabilities
from pandacat.labels import IMAGENET_CLASS_COUNT, imagenet_names, listed
from pandacat.metrics import conformal
from pandacat.metrics.intervals import proportion
from pandacat.metrics.paired import smallest_detectable_drop
from pandacat.report.formatting import NETWORKS, count, interval, percent
from pandacat.report.results import DATASETS, Results

CLASSES_NAMED = 5
"""So many ImageNet classes of a label are named; more are only counted."""


def summary(results: Results) -> list[str]:
    """Return the findings in a few sentences."""
    *known, _ = labels = results.model.description.labels
    sentences = []
    for dataset, figures in results.fine_tuned.items():
        pair = figures.get("two_class_accuracy")
        sentences.append(
            f"Of {sum(figures['photos'].values())} {DATASETS[dataset]}, the fine-tuned network "
            f"classifies {interval(figures['accuracy'])} correctly as {listed(labels)}."
            + (f" Asked only for {listed(known)}, it is right on {interval(pair)}." if pair else "")
        )
    sentences += [_gain(*dataset) for dataset in results.metrics["evaluate"].items()]
    if "field_test" not in results.metrics["evaluate"]:
        sentences.append("Accuracy on photos from other sources was not measured in this run.")
    if warnings := shortcuts.warnings(results.shortcuts):
        sentences.append(
            f"The audit of the data gives {count(len(warnings), 'warning')}, first of all: "
            f"{warnings[0]} Accuracy within this data set is weaker evidence for that reason."
        )
    return sentences


def recommendation(results: Results) -> str:
    """Return which network to use, and what to do before."""
    if results.origin.drawn:
        return (
            "Recommendation: run the pipeline on photographs (`photos.source`) before you use any "
            "of these networks."
        )
    dataset = "field_test" if "field_test" in results.fine_tuned else "test"
    better = {
        name: figures["accuracy"]["value"]
        for name, figures in results.metrics["evaluate"][dataset].items()
        if name != OURS and figures[f"{OURS}_difference"]["accuracy"]["high"] < 0
    }
    best = max(better, key=better.__getitem__) if better else OURS
    reason = (
        f"the most accurate on {DATASETS[dataset]}, beyond chance"
        if better
        else (f"no other one is more accurate on {DATASETS[dataset]}, beyond chance")
    )
    before = (
        ""
        if dataset == "field_test"
        else (
            " Before you rely on it elsewhere, measure it on photos from other sources "
            "(`evaluate.field_test`)."
        )
    )
    return f"Recommendation: use the {NETWORKS[best]} ({reason}).{before}"


def _gain(dataset: str, networks: Mapping[str, Any]) -> str:
    """Return how fine-tuning changed the accuracy, and whether that is beyond chance."""
    before = networks["pretrained"]
    difference = before[f"{OURS}_difference"]["accuracy"]
    change = "better" if difference["value"] > 0 else "worse"
    significant = difference["low"] > 0 or difference["high"] < 0
    effect = f"fine-tuning made it clearly {change}" if significant else "no clear difference"
    return (
        f"Before fine-tuning, the same network classifies {percent(before['accuracy']['value'])} "
        f"of the {DATASETS[dataset]} correctly: {effect}."
    )


def limits(results: Results) -> list[str]:
    """Return what the network must not be used for, and what is not known of it."""
    known = listed(results.model.description.labels[:-1])
    photos = sum(results.fine_tuned["test"]["photos"].values())
    predictions = pd.concat(results.predictions.values())
    wrong = predictions[(predictions.network == OURS) & ~is_correct(predictions)]
    confidence = labels_and_probabilities(wrong)[1].max(initial=0)
    sentences = []
    if results.origin.drawn:
        sentences.append(
            "It has been fine-tuned and tested on drawings. Do not rely on these figures for "
            "photographs; run the pipeline on photographs first."
        )
    if "field_test" not in results.fine_tuned:
        sentences.append(
            "It has not been measured on photos from other sources. Other cameras, places and file "
            "formats can reduce the accuracy of any network: measure it on your own photos first "
            "(`evaluate.field_test`)."
        )
    sentences += [
        "Not for decisions about animals or people without human review: "
        + (
            f"its most confident mistake here had a probability of {percent(confidence)}."
            if len(wrong)
            else "that it made no mistake here does not mean that it makes none."
        ),
        f"Not for other species: every animal other than {known}, related species included, "
        "is to be classified as other, and so is a picture without any animal.",
        "It predicts one label for a whole photo. It does not count animals or locate them, and a "
        "photo that shows animals of several labels gets one.",
    ]
    for dataset, figures in results.fine_tuned.items():
        error, by_chance = figures["calibration_error"], figures["calibration_error_by_chance"]
        if error > by_chance:
            sentences.append(
                f"On {DATASETS[dataset]} its probabilities are off by {percent(error)} on average, "
                f"more than chance explains ({percent(by_chance)}): read them as a ranking."
            )
    return [
        *sentences,
        "Do not rely on it for degraded photos. Of the corruptions that were tried, it is least "
        f"accurate after {', '.join(hardest_corruptions(results.corruptions))}.",
        f"With {photos} test photos, a drop in accuracy of less than "
        f"{percent(smallest_detectable_drop(photos))} cannot be distinguished from chance.",
    ]


def prediction_sets(predictions: pd.DataFrame, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Return how often the fine-tuned network's prediction sets contain the true label.

    Args:
        predictions: of all networks.
        thresholds: the probability of each in-distribution label from which a set contains it.

    Returns:
        For each `label`: how often each of the `sets` occurs, such as "panda or cat", or "other"
        where no label is in it, and the `coverage`, with its interval. As in `pandacat predict`,
        the most probable label is in each set.
    """
    rows = predictions[predictions.network == OURS]
    names = np.array(label_names(rows))
    labels, probabilities = labels_and_probabilities(rows)
    sets = conformal.predict_sets(probabilities[:, :-1], np.asarray(thresholds))
    sets = np.column_stack([sets, ~sets.any(axis=1)])
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    table = []
    for label in np.unique(labels):
        own = labels == label
        coverage = asdict(proportion(sets[own, label]))
        counts = Counter(listed(names[chosen].tolist()) for chosen in sets[own])
        table.append({"label": names[label], "sets": counts, "coverage": coverage})
    return table


def hardest_corruptions(corruptions: pd.DataFrame, shown: int = 3) -> list[str]:
    """Return the corruptions that cost the fine-tuned network most: `fog (5 of 9 correct)`."""
    rows = corruptions[corruptions.network == OURS]
    counts = rows.assign(correct=rows.accuracy * rows.photos).groupby("corruption")
    sums = counts[["correct", "photos"]].sum()
    return [
        f"{str(row.Index).replace('_', ' ')} ({row.correct:.0f} of {row.photos} correct)"
        for row in sums.loc[(sums.correct / sums.photos).nsmallest(shown).index].itertuples()
    ]


def mistakes(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a sentence for each pair of labels that are confused, the most frequent first.

    `confusion` counts photos by label, then prediction.
    """
    wrong = [
        (number, label, predicted)
        for label, row in confusion.items()
        for predicted, number in row.items()
        if number and predicted != label
    ]
    return [
        f"{number} of {sum(confusion[label].values())} photos labeled {listed([label])} "
        f"{'was' if number == 1 else 'were'} classified as {listed([predicted])}"
        for number, label, predicted in sorted(wrong, key=lambda pair: -pair[0])
    ]


def classes_in_words(rows: Sequence[int]) -> str:
    """Return the rows of a head that mean a label: `1 ImageNet class (giant panda)`."""
    names = [imagenet_names()[row] for row in rows if row < IMAGENET_CLASS_COUNT]
    if not names:
        return "a class of its own, which ImageNet lacks"
    named = f" ({', '.join(names)})" if len(names) <= CLASSES_NAMED else ""
    return count(len(names), "ImageNet class", "ImageNet classes") + named
