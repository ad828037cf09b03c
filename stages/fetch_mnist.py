"""The official 70,000 handwritten digits."""

from pandacat import layout, tracking
from pandacat.sources import mnist
from pandacat.stage import run


def main() -> None:
    """Write the four IDX files and their provenance."""
    with tracking.run("fetch_mnist", {}) as tracked:
        mnist.fetch(layout.MNIST)
        tracked.log_artifact(layout.MNIST / "provenance.json")


if __name__ == "__main__":
    run(main)
