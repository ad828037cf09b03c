"""Fetch the archive of photos that `params.yaml` names, from any of the sources."""

import sys
from dataclasses import replace
from pathlib import Path

from pandacat.config.schema import Config
from pandacat.core.files import atomic_write, sha256_of
from pandacat.data.provenance import Provenance
from pandacat.data.sources import kaggle, sample
from pandacat.data.sources.archive import find_archive, import_archive, index_archive


def fetch(config: Config, archive: Path) -> Provenance:
    """Write the photos that `config.photos` names to the zip file `archive`; return their origin.

    Raises:
        PandacatError: the source can't be reached, or lacks photos of a label; `archive` stays as
            it was.
    """
    params = config.photos
    if params.archive and params.source != "archive":
        print(
            f"photos.archive is not used: photos.source in params.yaml is {params.source}.",
            file=sys.stderr,
        )
    with atomic_write(archive) as partial:
        origin = _SOURCES[params.source](config, partial)
    return replace(origin, sha256=sha256_of(archive))


def _draw(config: Config, archive: Path) -> Provenance:
    params = config.photos.sample
    labels = {name: label.folders for name, label in config.labels.items()}
    sample.write_archive(archive, params, labels)
    version = f"{params.photos_per_class} per class, seed {params.seed}"
    return Provenance(
        "drawn animals", "sample", "drawn by pandacat", version, license="MIT", drawn=True
    )


def _download(config: Config, archive: Path) -> Provenance:
    def check(downloaded: Path) -> None:
        index_archive(downloaded, config.label_of_folder)

    return kaggle.download(config.photos.kaggle.dataset, archive, check=check)


def _import(config: Config, archive: Path) -> Provenance:
    source = find_archive(config.photos.archive or "", "photos.archive")
    import_archive(source, archive)
    index_archive(archive, config.label_of_folder)
    return Provenance(title=source.stem, source="archive", origin=source.name)


_SOURCES = {"sample": _draw, "kaggle": _download, "archive": _import}
