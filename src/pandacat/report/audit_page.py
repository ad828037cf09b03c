"""The audit as a page of Markdown."""

from pandacat.evaluation import shortcuts
from pandacat.evaluation.audit import Audit
from pandacat.report import templating


def audit_page(audit: Audit, title: str) -> str:
    """Return the audit as a page of Markdown, for a reader who does not know DVC."""
    return templating.render(
        "audit.md",
        audit=audit,
        title=title,
        notable=shortcuts.NOTABLE,
        chance=shortcuts.CHANCE,
        preprocessed={(one.property, one.first, one.second): one for one in audit.preprocessed},
    )
