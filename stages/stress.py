"""Make the test photos worse on purpose, and see how long the networks hold out."""

from pandacat import evaluation, layout, params, stress, tables, tracking
from pandacat.files import write_json
from pandacat.stage import run


def main() -> None:
    """Write what the networks say of such photos, and the figures."""
    settings = params.load()
    chosen = settings.stress
    with tracking.run("stress", chosen) as tracked:
        recognisers = evaluation.open_networks(layout.MODELS)
        before = tables.read(layout.PREDICTIONS / "test.csv")
        corrupted = stress.judge_corrupted(recognisers, layout.PHOTOS, chosen)
        resaved = stress.judge_resaved(
            recognisers, layout.ARCHIVE, layout.PHOTOS, settings.preprocess, chosen
        )
        tables.write(layout.PREDICTIONS / "corrupted.csv", corrupted)
        tables.write(layout.PREDICTIONS / "resaved.csv", resaved)

        cells = stress.accuracies(corrupted, ["corruption", "severity"])
        tables.write(layout.PLOTS / "corruptions.csv", cells)
        curves = stress.curves(before, corrupted).pivot(
            index="severity", columns="network", values="three_class_accuracy"
        )
        tables.write(layout.PLOTS / "robustness.csv", curves.reset_index())
        tables.write(layout.PLOTS / "flips.csv", stress.flips(before, resaved))
        metrics = stress.figures(before, corrupted, resaved, seed=chosen.seed)
        write_json(layout.METRICS / "stress.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
