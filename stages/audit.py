"""Audit the data set: shortcuts, near-duplicates, wrong labels, pictures of no animal."""

from functools import partial

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import atomic_write, write_json, write_text
from pandacat.core.stage import run
from pandacat.data import provenance, store
from pandacat.data.features import read_features
from pandacat.evaluation.audit import audit
from pandacat.models.saved import load_model
from pandacat.report.plots.audit import contact_sheet, shortcuts
from pandacat.report.plots.style import Canvas
from pandacat.report.templating import render
from pandacat.tracking.journal import tracked_stage

METRICS = paths.METRICS / "audit.json"


def main() -> None:
    """Write the audit as metrics, tables, pictures and a page."""
    params = load_config().audit
    origin = provenance.read(paths.PHOTOS / "provenance.json")
    features = read_features(paths.FEATURES).centers
    input_px = load_model(paths.MODELS / "pretrained").description.input_px
    with tracked_stage("audit", params) as tracked:
        result = audit(paths.ARCHIVE, paths.PHOTOS, origin, features, params, input_px=input_px)
        with atomic_write(paths.PLOTS / "audit") as folder:
            folder.mkdir()
            result.write_tables(folder)
            for name, findings, files in (
                ("original", result.original, "original files"),
                ("preprocessed", result.preprocessed, "preprocessed copies"),
                ("network_input", result.network_input, "network input"),
            ):
                canvas = Canvas(folder, origin.drawn, f"_{name}", f": {files}")
                shortcuts(canvas, findings, store.read_labels(paths.PHOTOS))
            load = partial(store.load_images, paths.PHOTOS)
            contact_sheet(Canvas(folder, origin.drawn), result.label_issues, load)
        page = render("audit.md", audit=result, title=origin.title)
        write_text(paths.REPORTS / "audit.md", page)
        write_json(METRICS, result.metrics())
        tracked.log_metrics({"warnings": len(result.warnings)})
        tracked.log_artifact(METRICS)
        tracked.log_artifact(paths.REPORTS / "audit.md")
    for warning in result.warnings:
        print(f"Warning: {warning}")


if __name__ == "__main__":
    run(main)
