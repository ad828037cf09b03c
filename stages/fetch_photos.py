"""Fetch one archive of photos, and note where it comes from."""

from pandacat.config.loading import load_config
from pandacat.core import paths
from pandacat.core.files import write_json
from pandacat.core.stage import run
from pandacat.data import provenance
from pandacat.data.sources import fetching
from pandacat.tracking.journal import tracked_stage

METRICS = paths.METRICS / "fetch_photos.json"


def main() -> None:
    """Write the archive, its provenance, and the number of files by label."""
    config = load_config()
    with tracked_stage("fetch_photos", config.photos) as tracked:
        origin, index = fetching.fetch(config, paths.ARCHIVE)
        provenance.write(paths.PROVENANCE, origin)
        write_json(METRICS, index.counts())
        tracked.log_metrics({"photos": len(index.photos)})
        tracked.log_artifact(METRICS)
        tracked.log_artifact(paths.PROVENANCE)
    print(f"{origin.title} ({origin.origin}): {index}")


if __name__ == "__main__":
    run(main)
