"""Templates, filled."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from pandacat.core.errors import printable
from pandacat.evaluation import shortcuts
from pandacat.labels import listed
from pandacat.report import formatting


def render(template: str, **context: Any) -> str:
    """Return a template of `report/templates` filled with `context`; a missing name is an error.

    What stands in HTML is escaped. Templates know the functions of `formatting` as filters, and
    `network` and `property` (what these are called), `label` (its name for readers), `markdown` and
    `path` (what others wrote, and names of files, as text in Markdown), `printable` and `code`
    (what stands in backticks as `<code>`).
    """
    environment = Environment(
        loader=PackageLoader("pandacat.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": formatting.percent,
        "interval": formatting.interval,
        "decimals": formatting.decimals,
        "outcome": formatting.outcome,
        "count": formatting.count,
        "name": formatting.network_name,
        "network": lambda network: formatting.NETWORKS.get(network, network),
        "property": shortcuts.in_words,
        "label": lambda label: listed([label]),
        "listed": listed,
        "markdown": markdown,
        "path": markdown_path,
        "printable": printable,
        "code": lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))),
    }
    environment.globals |= {"notable": shortcuts.NOTABLE, "chance": shortcuts.CHANCE}
    return environment.get_template(template).render(context)


def markdown(text: str) -> str:
    """Return what others wrote as Markdown that shows just that, in the cell of a table, too.

    Punctuation with a meaning, in CommonMark or on GitHub, becomes character references.
    """
    return re.sub(
        r"[\\`*\[\]<>&|~$#!{}^]|(?<![^\W_])_|_(?![^\W_])",
        lambda found: f"&#{ord(found[0])};",
        printable(text),
    )


def markdown_path(name: str) -> str:
    """Return the name of a file as code in Markdown, from which it can be copied."""
    shown = printable(name)
    if re.search(r"[`|\\]|^\s|\s$", shown):
        return f"<code>{markdown(shown)}</code>"
    return f"`{shown}`"
