"""One archive of photos, as it came, and where it came from."""

from pandacat import layout, params, tracking
from pandacat.files import write_json
from pandacat.sources import fetching, provenance
from pandacat.sources.archive import survey
from pandacat.stage import run


def main() -> None:
    """Write the archive, its provenance, and the number of files by label."""
    photos = params.load().photos
    with tracking.run("fetch_photos", photos) as tracked:
        origin = fetching.fetch(photos, layout.ARCHIVE)
        provenance.write(layout.PROVENANCE, origin)

        found = survey(layout.ARCHIVE, photos.folders)
        write_json(layout.METRICS / "fetch_photos.json", found.counts())
        tracked.log_metrics(found.counts())
        tracked.log_artifact(layout.PROVENANCE)
    print(f"{origin.title} ({origin.origin}): {found}")


if __name__ == "__main__":
    run(main)
