"""The audit as a page of Markdown."""

from pandacat.evaluation import shortcuts
from pandacat.evaluation.audit import Audit
from pandacat.report import templating

SHORTCUTS_SHOWN = 10
"""Shortcuts on the page."""


def audit_page(found: Audit, title: str) -> str:
    """Return the audit as a page of Markdown, for someone who does not know DVC."""
    kept = {(other.property, other.first, other.second): other for other in found.preprocessed}
    return templating.render(
        "audit.md",
        found=found,
        title=title,
        notable=shortcuts.NOTABLE,
        worse_than_chance=any(
            finding.balanced_accuracy.high < shortcuts.CHANCE for finding in found.original
        ),
        strongest=[
            (finding, kept[finding.property, finding.first, finding.second])
            for finding in found.original[:SHORTCUTS_SHOWN]
        ],
        groups=found.duplicates.group.nunique(),
        conflicts=found.conflicts.group.nunique(),
        conflicting=list(found.conflicts.itertuples()),
    )
