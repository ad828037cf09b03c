"""Decode each photo once: verify, turn upright, shrink, fingerprint, group, split."""

from pandacat import layout, params, tracking
from pandacat.files import write_json
from pandacat.preprocess import preprocess, read_exclusions
from pandacat.sources import provenance
from pandacat.stage import run


def main() -> None:
    """Write `data/photos` and its counts."""
    settings = params.load()
    with tracking.run("preprocess", settings.preprocess) as tracked:
        summary = preprocess(
            layout.ARCHIVE,
            provenance.read(layout.PROVENANCE),
            layout.PHOTOS,
            settings.photos.folders,
            settings.preprocess,
            exclusions=read_exclusions(layout.EXCLUSIONS),
        )
        write_json(layout.METRICS / "preprocess.json", summary)
        tracked.log_metrics(summary)
        tracked.log_artifact(layout.PHOTOS / "quarantine.csv")


if __name__ == "__main__":
    run(main)
