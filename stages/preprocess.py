"""Decode each photo once: verify, turn upright, shrink, fingerprint, group, split."""

from pandacat import layout, params, tracking
from pandacat.files import write_json
from pandacat.preprocess import preprocess
from pandacat.stage import run


def main() -> None:
    """Write `data/photos` and its counts."""
    settings = params.load()
    with tracking.run("preprocess", settings.preprocess) as tracked:
        summary = preprocess(
            layout.ARCHIVE, layout.PHOTOS, settings.photos.folders, settings.preprocess
        )
        write_json(layout.METRICS / "preprocess.json", summary)
        tracked.log_metrics(summary)


if __name__ == "__main__":
    run(main)
