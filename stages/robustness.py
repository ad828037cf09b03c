"""Make the test photos worse on purpose, and see how long the networks hold out."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.core.tables import read_table, write_table
from pandacat.evaluation import compare, robustness
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write what the networks say of such photos, and the figures."""
    settings = load_config()
    chosen = settings.robustness
    with tracked_stage("robustness", chosen) as tracked:
        classifiers = compare.load_networks(paths.MODELS)
        before = read_table(paths.PREDICTIONS / "test.csv")
        corrupted = robustness.predict_corrupted(classifiers, paths.PHOTOS, chosen)
        recompressed = robustness.predict_recompressed(
            classifiers, paths.ARCHIVE, paths.PHOTOS, settings.preprocess.image_spec, chosen
        )
        write_table(paths.PREDICTIONS / "corrupted.csv", corrupted)
        write_table(paths.PREDICTIONS / "recompressed.csv", recompressed)

        cells = robustness.accuracies(corrupted, ["corruption", "severity"])
        write_table(paths.PLOTS / "corruptions.csv", cells)
        curves = robustness.curves(before, corrupted).pivot(
            index="severity", columns="network", values="accuracy"
        )
        write_table(paths.PLOTS / "robustness.csv", curves.reset_index())
        write_table(
            paths.PLOTS / "changed_predictions.csv",
            robustness.changed_predictions(before, recompressed),
        )
        metrics = robustness.robustness_metrics(before, corrupted, recompressed, seed=chosen.seed)
        write_json(paths.METRICS / "robustness.json", metrics)
        tracked.log_metrics(metrics)


if __name__ == "__main__":
    run(main)
