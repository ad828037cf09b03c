"""Tell what was found: a page for everybody, and a card that goes with the model."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_text
from pandacat.core.stage import run
from pandacat.report import pages
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write `reports/report.html` and `reports/model_card.md`."""
    with tracked_stage("report", {}) as tracked:
        facts = pages.gather(load_config().fine_tune)
        report, card = paths.REPORTS / "report.html", paths.REPORTS / "model_card.md"
        write_text(report, pages.report(facts))
        write_text(card, pages.model_card(facts, paths.REPORTS))
        for page in (report, card):
            tracked.log_artifact(page)


if __name__ == "__main__":
    run(main)
