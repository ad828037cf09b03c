"""Look for what is wrong with the data: shortcuts, copies, wrong labels, pictures of no animal."""

from pandacat import auditing, features, layout, params, predictions, tables, tracking
from pandacat.figures import pictures, trust
from pandacat.figures.album import images_of
from pandacat.files import write_json, write_text, written_aside
from pandacat.sources import provenance
from pandacat.stage import run


def main() -> None:
    """Write the audit as metrics, figures and a page."""
    chosen = params.load().audit
    origin = provenance.read(layout.PHOTOS / "provenance.json")
    kept = features.read(layout.FEATURES)
    zero_shot = tables.read(layout.PREDICTIONS / "pretrained.csv")
    with tracking.run("audit", chosen) as tracked:
        found = auditing.audit(
            layout.ARCHIVE,
            layout.PHOTOS,
            origin,
            kept.centres,
            predictions.arrays(zero_shot)[1],
            suspects=chosen.suspects_shown,
            seed=chosen.seed,
        )
        with written_aside(layout.PLOTS / "audit") as folder:
            folder.mkdir()
            found.write_tables(folder)
            for name, findings, which in (
                ("shortcuts_as_it_came", found.as_it_came, "the files as they came"),
                ("shortcuts_as_kept", found.as_kept, "the copies that are learned from"),
            ):
                title = f"What gives the label away: {which}"
                trust.shortcuts(folder / f"{name}.png", findings, title=title, drawn=origin.drawn)
            pictures.contact_sheet(
                folder / "suspects.png",
                found.suspects,
                images_of(layout.PHOTOS, found.suspects.path),
                title="Photos to look at: wrong labels, or no animals?",
                drawn=origin.drawn,
            )
        write_text(layout.REPORTS / "audit.md", auditing.page(found, origin.title))
        write_json(layout.METRICS / "audit.json", found.metrics())
        tracked.log_metrics(found.metrics())
        tracked.log_artifact(layout.REPORTS / "audit.md")
    for warning in found.warnings:
        print(f"Warning: {warning}")


if __name__ == "__main__":
    run(main)
