"""Write the results up: a page for everybody, and a card that goes with the model."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_text
from pandacat.core.stage import run
from pandacat.report.pages import model_card, read_results, report
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write `reports/report.html` and `reports/model_card.md`."""
    with tracked_stage("report", {}) as tracked:
        results = read_results(load_config().fine_tune)
        pages = {
            paths.REPORTS / "report.html": report(results),
            paths.REPORTS / "model_card.md": model_card(results, paths.REPORTS),
        }
        for path, text in pages.items():
            write_text(path, text)
            tracked.log_artifact(path)


if __name__ == "__main__":
    run(main)
