"""Numbers, networks and questions as text, the same on pages and in plots."""

from collections.abc import Mapping, Sequence

from pandacat.labels import listed
from pandacat.metrics.paired import SIGNIFICANCE

NETWORKS = {
    "scratch": "network trained from scratch",
    "pretrained": "pretrained network (zero-shot)",
    "tuned_threshold": "pretrained network with a tuned threshold for other",
    "linear_probe": "linear probe on frozen features",
    "fine_tuned": "fine-tuned network",
}
"""What each network in `metrics/evaluate.json` is; reads on after "the"."""


def network_name(network: str) -> str:
    """Return a network's short name for readers: `fine-tuned` for `fine_tuned`."""
    return network.replace("_", "-" if network == "fine_tuned" else " ")


def questions(labels: Sequence[str]) -> dict[str, str]:
    """Return the accuracies that these labels have, `other` last, each as the question it answers.

    `two_class_accuracy` exists only where there are two in-distribution labels.
    """
    pair = {"two_class_accuracy": f"{listed(labels[:-1])}?"} if len(labels) == 3 else {}
    return pair | {"accuracy": f"{listed(labels)}?"}


def percent(share: float, digits: int = 1) -> str:
    """Return `98.7 %` for 0.987."""
    return f"{100 * share:.{digits}f} %"


def interval(figure: Mapping[str, float], digits: int = 1) -> str:
    """Return `98.7 % (97.0–99.4)` for shares."""
    low, high = (f"{100 * figure[end]:.{digits}f}" for end in ("low", "high"))
    return f"{percent(figure['value'], digits)} ({low}–{high})"


def decimals(figure: Mapping[str, float], digits: int = 3) -> str:
    """Return `0.991 (0.985–0.995)` for a figure that is no share."""
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f}–{figure['high']:.{digits}f})"


def outcome(difference: Mapping[str, float]) -> str:
    """Return whether ours is `better` or `worse` by a difference in accuracy, else ``."""
    if difference["p_value"] >= SIGNIFICANCE:
        return ""
    return "better" if difference["value"] > 0 else "worse"


def count(number: int, one: str, many: str = "") -> str:
    """Return `no photo`, `1 photo` or `2 photos`."""
    if number == 0:
        return f"no {one}"
    return f"{number:,} {one if number == 1 else many or one + 's'}"
