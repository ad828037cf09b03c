"""Pages for readers: templates filled with what the stages found."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from pandacat.evaluation import shortcuts
from pandacat.labels import LABELS

IN_WORDS = {
    "scratch": "our own network, trained from nothing",
    "pretrained": "the ImageNet network, untouched",
    "fine_tuned": "the fine-tuned network",
    "linear_probe": "a plain two-class fine-tune",
}
"""Names of the networks in `metrics/evaluate.json`, for readers."""


def render(template: str, **facts: Any) -> str:
    """Return a template of `report/templates` filled with `facts`; a missing one is an error.

    What stands in HTML is escaped. Templates know the filters `percent` (`98.7 %` for 0.987),
    `interval` (`98.7 % (97.0–99.4)` for a map with `value`, `low` and `high`), `decimals`
    (`0.987`), `count` (`1 photo`, `2 photos`), `network` and `property` (their names for readers),
    `cell`, for the cell of a table in Markdown, and `code`, for what stands in backticks.
    """
    return _environment().get_template(template).render(labels=LABELS, **facts)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pandacat.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "decimals": decimals,
        "count": count,
        "network": in_words,
        "property": shortcuts.in_words,
        "cell": lambda text: str(text).replace("|", "\\|"),
        "code": code,
    }
    return environment


def code(text: str) -> Markup:
    """Return a sentence as HTML, with what stands in backticks as `<code>`."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def percent(share: float, digits: int = 1) -> str:
    """Return `98.7 %` for 0.987."""
    return f"{100 * share:.{digits}f} %"


def interval(figure: dict[str, float], digits: int = 1) -> str:
    """Return `98.7 % (97.0–99.4)` for shares."""
    low, high = (f"{100 * figure[end]:.{digits}f}" for end in ("low", "high"))
    return f"{percent(figure['value'], digits)} ({low}–{high})"


def decimals(figure: dict[str, float], digits: int = 3) -> str:
    """Return `0.991 (0.985–0.995)` for a figure that is no share."""
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f}–{figure['high']:.{digits}f})"


def count(number: int, one: str, many: str = "") -> str:
    """Return `no photo`, `1 photo` or `2 photos`."""
    if number == 0:
        return f"no {one}"
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def in_words(network: str) -> str:
    """Return a network's name for readers."""
    return IN_WORDS.get(network, network.replace("_", " "))
