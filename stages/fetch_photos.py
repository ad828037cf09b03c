"""One archive of photos, as it came, and where it came from."""

from pandacat import layout, params, sources
from pandacat.files import write_json
from pandacat.sources import provenance
from pandacat.sources.archive import survey
from pandacat.stage import run


def main() -> None:
    """Write the archive, its provenance, and the number of files by label."""
    photos = params.load().photos
    origin = sources.fetch(photos, layout.ARCHIVE)
    provenance.write(layout.PROVENANCE, origin)

    found = survey(layout.ARCHIVE, photos.folders)
    write_json(layout.METRICS / "fetch_photos.json", found.counts())
    print(f"{origin.title} ({origin.origin}): {found}")


if __name__ == "__main__":
    run(main)
