"""Look for what is wrong with the data: shortcuts, copies, wrong labels, pictures of no animal."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, write_json, write_text
from pandacat.core.stage import run
from pandacat.core.tables import read_table
from pandacat.data import provenance
from pandacat.data.features import read_features
from pandacat.data.store import load_images
from pandacat.evaluation import audit
from pandacat.evaluation.predictions import labels_and_probabilities
from pandacat.report.audit_page import audit_page
from pandacat.report.plots import photos, reliability
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write the audit as metrics, figures and a page."""
    chosen = load_config().audit
    origin = provenance.read(paths.PHOTOS / "provenance.json")
    kept = read_features(paths.FEATURES)
    zero_shot = read_table(paths.PREDICTIONS / "pretrained.csv")
    with tracked_stage("audit", chosen) as tracked:
        found = audit.audit(
            paths.ARCHIVE,
            paths.PHOTOS,
            origin,
            kept.centers,
            labels_and_probabilities(zero_shot)[1],
            shown=chosen.label_issues_shown,
            seed=chosen.seed,
        )
        with atomic_write(paths.PLOTS / "audit") as folder:
            folder.mkdir()
            found.write_tables(folder)
            for name, findings, which in (
                ("shortcuts_original", found.original, "the files as they came"),
                ("shortcuts_preprocessed", found.preprocessed, "the copies that are learned from"),
            ):
                title = f"What gives the label away: {which}"
                reliability.shortcuts(
                    folder / f"{name}.png", findings, title=title, drawn=origin.drawn
                )
            photos.contact_sheet(
                folder / "label_issues.png",
                found.label_issues,
                load_images(paths.PHOTOS, found.label_issues.path),
                title="Photos to look at: wrong labels, or no animals?",
                drawn=origin.drawn,
            )
        write_text(paths.REPORTS / "audit.md", audit_page(found, origin.title))
        write_json(paths.METRICS / "audit.json", found.metrics())
        tracked.log_metrics(found.metrics())
        tracked.log_artifact(paths.REPORTS / "audit.md")
    for warning in found.warnings:
        print(f"Warning: {warning}")


if __name__ == "__main__":
    run(main)
