"""Fetch the archive of photos that `params.yaml` names, from any of the sources."""

from dataclasses import replace
from pathlib import Path

from pandacat.config.schema import Config
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError
from pandacat.core.files import atomic_write, sha256_of
from pandacat.data.provenance import Provenance
from pandacat.data.sources import kaggle, sample
from pandacat.data.sources.archive import ArchiveIndex, index_archive
from pandacat.data.sources.importing import find_archive, import_archive


def fetch(config: Config, archive: Path) -> tuple[Provenance, ArchiveIndex]:
    """Write the photos that `config.photos` names to the zip file `archive`.

    Raises:
        PandacatError: the source can't be reached, lacks photos of a label, or has names that are
            not in the given encoding; `archive` stays as it was.
    """
    params = config.photos

    def check(fetched: Path) -> ArchiveIndex:
        index = index_archive(fetched, config.label_of_folder, params.archive_encoding)
        if params.archive_encoding and index.note:
            raise PandacatError(
                "photos.archive_encoding in params.yaml does not fit: leave it empty, or name "
                f"another. {index.note}"
            )
        return index

    if params.archive and params.source != "archive":
        print_status(
            f"photos.archive is not used: photos.source in params.yaml is {params.source}."
        )
    hidden: list[str] = []
    with atomic_write(archive) as aside:
        match params.source:
            case "sample":
                folders = {name: label.folders for name, label in config.labels.items()}
                sample.write_archive(aside, params.sample, folders)
                version = f"{params.sample.photos_per_class} per class, seed {params.sample.seed}"
                origin = Provenance(
                    "drawn animals", "sample", "drawn by pandacat", version, "MIT", drawn=True
                )
            case "kaggle":
                origin = kaggle.download(params.kaggle.dataset, aside, check=check)
            case "archive":
                source = find_archive(params.archive or "", "photos.archive")
                hidden = import_archive(source, aside)
                origin = Provenance(title=source.stem, source="archive", origin=source.name)
        index = check(aside)
    index.ignored["hidden"].extend(hidden)
    return replace(origin, sha256=sha256_of(archive), encoding=index.encoding), index
