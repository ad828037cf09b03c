"""Templates, filled."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from pandacat.evaluation import shortcuts
from pandacat.labels import listed
from pandacat.report import formatting


def render(template: str, **context: Any) -> str:
    """Return a template of `report/templates` filled with `context`; a missing name is an error.

    What stands in HTML is escaped. Templates know the functions of `formatting` as filters, and
    `network` and `property` (what these are called), `label` (its name for readers), `cell` (for
    the cell of a table in Markdown) and `code` (what stands in backticks as `<code>`).
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
        "count": formatting.count,
        "name": formatting.network_name,
        "network": lambda network: formatting.NETWORKS.get(network, network),
        "property": shortcuts.in_words,
        "label": lambda label: listed([label]),
        "listed": listed,
        "cell": lambda text: str(text).replace("|", "\\|"),
        "code": lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))),
    }
    environment.globals |= {"notable": shortcuts.NOTABLE, "chance": shortcuts.CHANCE}
    return environment.get_template(template).render(context)
