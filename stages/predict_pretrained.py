"""Let the ImageNet network say what it sees, without any training; keep its features."""

import numpy as np

from pandacat import features, layout, params, predictions, saved, shards, tables, tracking
from pandacat.files import write_json, written_aside
from pandacat.recogniser import open_model, untouched
from pandacat.stage import run


def main() -> None:
    """Write the network as a model, its features and its predictions on all photos."""
    settings = params.load()
    chosen = settings.predict_pretrained
    with tracking.run("predict_pretrained", chosen) as tracked:
        model = untouched(chosen.backbone, side_px=settings.preprocess.side_px)
        saved.save(layout.MODELS / "pretrained", model.description, model.tensors)
        recogniser = open_model("pretrained", models=layout.MODELS, engine=chosen.engine)
        with written_aside(layout.FEATURES) as folder:
            folder.mkdir()
            features.extract(
                layout.PHOTOS,
                folder,
                recogniser,
                view=chosen.views,
                copies=chosen.changed_copies,
                seed=chosen.seed,
            )
        index = shards.read_index(layout.PHOTOS)
        centres = np.array(features.read(layout.FEATURES).centres)
        table = predictions.table(index, recogniser.probabilities(centres[:, None]))
        tables.write(layout.PREDICTIONS / "pretrained.csv", table)
        metrics = predictions.figures_by_split(table)
        write_json(layout.METRICS / "predict_pretrained.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
