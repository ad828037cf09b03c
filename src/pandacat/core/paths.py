"""Where each artifact lies, relative to the project's top folder; `dvc.yaml` says the same."""

from pathlib import Path

PARAMS = Path("params.yaml")
DEFAULT_PARAMS = Path(__file__).parents[1] / "config/default_params.yaml"
"""What the package brings along: `params.yaml` as it was installed."""
PIPELINE = Path("dvc.yaml")

MNIST = Path("data/mnist")
ARCHIVE = Path("data/raw/photos.zip")
PROVENANCE = Path("data/raw/provenance.json")
EXCLUSIONS = Path("data/exclusions.csv")
PHOTOS = Path("data/photos")
FEATURES = Path("data/features")
PREDICTIONS = Path("data/predictions")
MODELS = Path("models")
METRICS = Path("metrics")
PLOTS = Path("plots")
FIGURES = Path("plots/figures")
TABLES = Path("plots/tables")
REPORTS = Path("reports")

CHECKPOINTS = Path(".pandacat/checkpoints")
"""Outside all stages' outputs, which DVC deletes before a stage runs."""

HEADLINE = METRICS / "headline.json"
SUMMARY = METRICS / "summary.json"
TEST_PREDICTIONS = METRICS / "test_predictions.csv"
