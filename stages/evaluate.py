"""Measure all networks side by side on photos that none of them has seen."""

import pandas as pd

from pandacat import evaluation, features, layout, params, saved, tables, tracking
from pandacat.files import write_json
from pandacat.sources.archive import find
from pandacat.stage import run


def main() -> None:
    """Write the predictions on the test split and on photos from elsewhere, and their figures."""
    settings = params.load()
    chosen = settings.evaluate
    with tracking.run("evaluate", chosen) as tracked:
        recognisers = evaluation.open_networks(layout.MODELS)
        ours = saved.load(layout.MODELS / evaluation.NETWORKS[evaluation.OURS])
        kept = features.read(layout.FEATURES)
        known = evaluation.known_photos(
            recognisers[evaluation.OURS], photo_folder=layout.PHOTOS, kept=kept
        )
        seen = {
            "test": evaluation.see_split(recognisers, "test", photo_folder=layout.PHOTOS, kept=kept)
        }
        if chosen.field_test:
            seen["field_test"] = evaluation.see_archive(
                recognisers,
                find(chosen.field_test, "evaluate.field_test"),
                settings.photos.folders,
                settings.preprocess,
                photo_folder=layout.PHOTOS,
            )
        found = {
            where: evaluation.measure(recognisers, photos, ours, known, seed=chosen.seed)
            for where, photos in seen.items()
        }

        judged = {where: measured.judged for where, measured in found.items()}
        tables.write(layout.PREDICTIONS / "test.csv", judged["test"])
        elsewhere = judged.get("field_test", judged["test"].head(0))
        tables.write(layout.PREDICTIONS / "field_test.csv", elsewhere)
        for table in ("paired", "open_set_scores"):
            parts = [getattr(one, table).assign(photos=where) for where, one in found.items()]
            tables.write(layout.PLOTS / f"{table}.csv", pd.concat(parts))
        metrics = {where: measured.metrics() for where, measured in found.items()}
        write_json(layout.METRICS / "evaluate.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
