"""The official 70,000 handwritten digits."""

from pandacat import layout
from pandacat.sources import mnist
from pandacat.stage import run


def main() -> None:
    """Write the four IDX files and their provenance."""
    mnist.fetch(layout.MNIST)


if __name__ == "__main__":
    run(main)
