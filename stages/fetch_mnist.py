"""Fetch the official 70,000 handwritten digits."""

from pandacat.core import paths
from pandacat.core.stage import run
from pandacat.data.sources import mnist
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write the four IDX files and their provenance."""
    with tracked_stage("fetch_mnist", {}) as tracked:
        mnist.fetch(paths.MNIST)
        tracked.log_artifact(paths.MNIST / "provenance.json")


if __name__ == "__main__":
    run(main)
