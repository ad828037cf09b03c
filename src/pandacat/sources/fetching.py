"""The one door to all sources of photos."""

import sys
from dataclasses import replace
from pathlib import Path

from pandacat.files import sha256_of, written_aside
from pandacat.params import PhotosParams
from pandacat.sources import kaggle, sample
from pandacat.sources.archive import find, survey, take_in
from pandacat.sources.provenance import Provenance


def fetch(params: PhotosParams, archive: Path) -> Provenance:
    """Write the photos that `params` name, as one zip, to `archive`; return where they come from.

    Raises:
        PandacatError: the source can't be had or holds no pandas or no cats; `archive` stays as it
            was.
    """
    if params.archive and params.source != "archive":
        print(
            f"photos.archive is not used: photos.source in params.yaml is {params.source}.",
            file=sys.stderr,
        )
    with written_aside(archive) as aside:
        origin = _SOURCES[params.source](params, aside)
    return replace(origin, sha256=sha256_of(archive))


def _draw(params: PhotosParams, archive: Path) -> Provenance:
    sample.write_archive(archive, params.sample)
    return Provenance(
        title="drawn animals",
        source="sample",
        origin="drawn by pandacat",
        version=f"{params.sample.photos_per_class} per class, seed {params.sample.seed}",
        licence="MIT",
        drawn=True,
        sha256="",
    )


def _download(params: PhotosParams, archive: Path) -> Provenance:
    facts = kaggle.download(
        params.kaggle.dataset, archive, accept=lambda zipped: survey(zipped, params.folders)
    )
    return Provenance(
        title=facts.title,
        source="kaggle",
        origin=f"{kaggle.PAGE}/{params.kaggle.dataset}",
        version=facts.version,
        licence=facts.licence,
        drawn=False,
        sha256="",
    )


def _take_in(params: PhotosParams, archive: Path) -> Provenance:
    given = find(params.archive or "", "photos.archive")
    take_in(given, archive)
    survey(archive, params.folders)
    return Provenance(
        title=given.stem,
        source="archive",
        origin=given.name,
        version="unknown",
        licence="unknown",
        drawn=False,
        sha256="",
    )


_SOURCES = {"sample": _draw, "kaggle": _download, "archive": _take_in}
