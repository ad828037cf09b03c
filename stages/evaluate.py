"""Measure all networks side by side on photos that none of them has seen."""

from pandacat import evaluation, features, layout, params, predictions, tracking
from pandacat.files import write_json
from pandacat.recogniser import open_model
from pandacat.sources.archive import find
from pandacat.stage import run

NETWORKS = {
    "scratch": "scratch-photos",
    "pretrained": "pretrained",
    "fine_tuned": "fine-tuned",
}


def main() -> None:
    """Write the predictions on the test split and on photos from elsewhere, and their figures."""
    settings = params.load()
    chosen = settings.evaluate
    with tracking.run("evaluate", chosen) as tracked:
        recognisers = {
            name: open_model(model, models=layout.MODELS) for name, model in NETWORKS.items()
        }
        judged = evaluation.judge_split(
            recognisers,
            "test",
            photo_folder=layout.PHOTOS,
            kept=features.read(layout.FEATURES),
        )
        metrics = {"test": evaluation.figures_of(judged, seed=chosen.seed)}
        elsewhere = judged.iloc[:0]
        if chosen.field_test:
            elsewhere = evaluation.judge_archive(
                recognisers,
                find(chosen.field_test),
                settings.photos.folders,
                side_px=settings.preprocess.side_px,
            )
            metrics["field_test"] = evaluation.figures_of(elsewhere, seed=chosen.seed)

        predictions.write(layout.PREDICTIONS / "test.csv", judged)
        predictions.write(layout.PREDICTIONS / "field_test.csv", elsewhere)
        write_json(layout.METRICS / "evaluate.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
