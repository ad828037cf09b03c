"""Tell what was found: a page for everybody, and a card that goes with the model."""

from pandacat import layout, params, reporting, tracking
from pandacat.files import write_text
from pandacat.stage import run


def main() -> None:
    """Write `reports/report.html` and `reports/model_card.md`."""
    with tracking.run("write_report", {}) as tracked:
        facts = reporting.gather(params.load().fine_tune)
        report, card = layout.REPORTS / "report.html", layout.REPORTS / "model_card.md"
        write_text(report, reporting.report(facts))
        write_text(card, reporting.model_card(facts, layout.REPORTS))
        for page in (report, card):
            tracked.log_artifact(page)


if __name__ == "__main__":
    run(main)
