"""Decode each photo once: verify, turn upright, shrink, fingerprint, group, split."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.data import provenance
from pandacat.data.preprocess import preprocess, read_exclusions
from pandacat.tracking.journal import tracked_stage


def main() -> None:
    """Write `data/photos` and its counts."""
    settings = load_config()
    with tracked_stage("preprocess", settings.preprocess) as tracked:
        summary = preprocess(
            paths.ARCHIVE,
            provenance.read(paths.PROVENANCE),
            paths.PHOTOS,
            settings,
            exclusions=read_exclusions(paths.EXCLUSIONS),
        )
        write_json(paths.METRICS / "preprocess.json", summary)
        tracked.log_metrics(summary)
        tracked.log_artifact(paths.PHOTOS / "quarantine.csv")


if __name__ == "__main__":
    run(main)
