"""Decode each photo once: verify, standardize, find near-duplicates, split."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.data import provenance
from pandacat.data.preprocess import preprocess, read_exclusions
from pandacat.tracking.journal import tracked_stage

METRICS = paths.METRICS / "preprocess.json"


def main() -> None:
    """Write the photos and their counts."""
    config = load_config()
    with tracked_stage("preprocess", config.preprocess) as tracked:
        counts = preprocess(
            paths.ARCHIVE,
            provenance.read(paths.PROVENANCE),
            paths.PHOTOS,
            config,
            exclusions=read_exclusions(paths.EXCLUSIONS),
        )
        write_json(METRICS, counts)
        tracked.log_metrics({name: counts[name] for name in ("photos", "quarantined", "groups")})
        tracked.log_artifact(METRICS)
        tracked.log_artifact(paths.PHOTOS / "quarantine.csv")


if __name__ == "__main__":
    run(main)
