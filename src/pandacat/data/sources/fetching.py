"""The one door to all sources of photos."""

import sys
from dataclasses import replace
from pathlib import Path

from pandacat.config.schema import Config
from pandacat.core.files import atomic_write, sha256_of
from pandacat.data.provenance import Provenance
from pandacat.data.sources import kaggle, sample
from pandacat.data.sources.archive import find, import_archive, index_archive


def fetch(config: Config, archive: Path) -> Provenance:
    """Write the photos that `params` name, as one zip, to `archive`; return where they come from.

    Raises:
        PandacatError: the source can't be had or holds no pandas or no cats; `archive` stays as it
            was.
    """
    params = config.photos
    if params.archive and params.source != "archive":
        print(
            f"photos.archive is not used: photos.source in params.yaml is {params.source}.",
            file=sys.stderr,
        )
    with atomic_write(archive) as aside:
        origin = _SOURCES[params.source](config, aside)
    return replace(origin, sha256=sha256_of(archive))


def _draw(config: Config, archive: Path) -> Provenance:
    params = config.photos.sample
    sample.write_archive(archive, params)
    return Provenance(
        title="drawn animals",
        source="sample",
        origin="drawn by pandacat",
        version=f"{params.photos_per_class} per class, seed {params.seed}",
        license="MIT",
        drawn=True,
        sha256="",
    )


def _download(config: Config, archive: Path) -> Provenance:
    dataset = config.photos.kaggle.dataset
    facts = kaggle.download(
        dataset, archive, accept=lambda zipped: index_archive(zipped, config.label_of_folder)
    )
    return Provenance(
        title=facts.title,
        source="kaggle",
        origin=f"{kaggle.PAGE}/{dataset}",
        version=facts.version,
        license=facts.license,
        drawn=False,
        sha256="",
    )


def _take_in(config: Config, archive: Path) -> Provenance:
    given = find(config.photos.archive or "", "photos.archive")
    import_archive(given, archive)
    index_archive(archive, config.label_of_folder)
    return Provenance(
        title=given.stem,
        source="archive",
        origin=given.name,
        version="unknown",
        license="unknown",
        drawn=False,
        sha256="",
    )


_SOURCES = {"sample": _draw, "kaggle": _download, "archive": _take_in}
