"""The `pandacat` command."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from glob import glob
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pandacat import gate, layout, tracking
from pandacat.errors import PandacatError, printable, sentence_of
from pandacat.files import written_aside
from pandacat.interrupts import raise_at_ctrl_c
from pandacat.labels import LABELS

if TYPE_CHECKING:
    from pandacat.recogniser import Verdict

UNREADABLE = "unreadable"

PHOTO_ENDINGS = {
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif",
    ".avif", ".ppm",
}  # fmt: skip
"""What is taken from a folder; a file that is named is read whatever its ending."""

EXAMPLES = """\
examples:
  pandacat predict examples/                        a folder and those in it; no links to others
  pandacat predict holiday.jpg 'zoo/*.png'          files and patterns
  pandacat predict photos/ --output verdicts.csv    as a table: path,label,p_panda,p_cat,p_other
  pandacat predict photos/ --model pretrained       the untouched network; needs no training
  pandacat predict photos/ --answers                panda, cat, "panda or cat" or neither
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    _replace_closed_streams()
    options = _parser().parse_args(arguments)
    raise_at_ctrl_c()
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        print(f"pandacat: {sentence_of(error)}", file=sys.stderr)
        return 1
    return code


def _replace_closed_streams() -> None:
    """Let what is said to a closed stream (`2>&-`) vanish, not end up in the file opened next."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", errors="replace"))  # noqa: SIM115


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pandacat", description="Giant panda, cat, or neither? And how sure is that?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser(
        "predict",
        help="say what is on photos",
        description="Say for each photo whether a giant panda is on it, a cat, or neither.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("paths", nargs="+", metavar="PATH", help="photo, folder or pattern")
    predict.add_argument(
        "--model",
        default="fine-tuned",
        metavar="NAME",
        help="fine-tuned (default), pretrained, scratch-photos, or a model's folder",
    )
    predict.add_argument(
        "--models",
        type=Path,
        default=layout.MODELS,
        metavar="FOLDER",
        help="where trained models lie (default: models)",
    )
    predict.add_argument(
        "--output", type=Path, metavar="FILE", help="write a .csv or .json file instead of lines"
    )
    predict.add_argument(
        "--answers",
        action="store_true",
        help="name every animal that can't be ruled out: 95 in 100 pandas, and as many cats, get "
        "their name on photos like those trained on; others may get one, too",
    )
    predict.set_defaults(run=_predict)

    compare = commands.add_parser(
        "gate",
        help="compare the figures with those of a Git revision",
        description="Exit 1 where a figure got worse than params.yaml allows, 2 where none can be "
        "compared.",
    )
    gate.add_arguments(compare)
    compare.set_defaults(run=gate.run)

    track = commands.add_parser("tracking", help="what MLflow does not have yet")
    actions = track.add_subparsers(required=True, metavar="ACTION")
    sync = actions.add_parser("sync", help="send the runs that could not be sent when they ran")
    sync.set_defaults(run=_sync)
    return parser


def _sync(_: argparse.Namespace) -> int:
    sent = tracking.sync()
    waiting = tracking.project_root() / tracking.JOURNALS
    print(f"{sent} runs sent." if sent else f"No run waits in {waiting}.")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from pandacat.recogniser import open_model

    place = _place_of_table(options.output) if options.output else None
    paths = find_photos(options.paths)
    recogniser = open_model(options.model, models=options.models)
    if options.answers and recogniser.description.promise is None:
        raise PandacatError(
            f"--answers: the model {options.model} was not calibrated for them; use the fine-tuned "
            "one, which `dvc repro` trains."
        )
    verdicts = Counted(
        recogniser.recognise((path, partial(read_file, path)) for path in paths), len(paths)
    )
    if place:
        write = WRITERS[options.output.suffix.lower()]
        with written_aside(place) as aside:
            write(aside, verdicts, answers=options.answers)
    else:
        print_lines(verdicts, answers=options.answers)
    if verdicts.failed:
        print(f"{verdicts.failed} of {len(paths)} files could not be read.", file=sys.stderr)
    return 1 if verdicts.failed else 0


def _place_of_table(output: Path) -> Path:
    """Return where a table goes: `output`, or what this links to.

    Raises:
        PandacatError: no table can lie there, or it would replace what is no table of ours.
    """
    from pandacat.saved import DESCRIPTION

    place = Path(os.path.realpath(output))
    if output.suffix.lower() not in WRITERS:
        raise PandacatError(f"--output {output}: the name must end in .csv or .json.")
    if place.is_dir():
        raise PandacatError(f"--output {output} is a folder; give the name of a file.")
    if (place.parent / DESCRIPTION).exists():
        raise PandacatError(f"--output {output} is in a model's folder; name another place.")
    if place.is_file():
        with place.open("rb") as stream:
            begin = stream.read(len(max(TABLES_BEGIN, key=len)))
        if begin and not begin.startswith(TABLES_BEGIN):
            raise PandacatError(
                f"--output {output}: this file is no table of verdicts, so it is not replaced; "
                "name another, or remove it."
            )
    return place


def read_file(path: str) -> bytes:
    """Return the bytes of a photo.

    Raises:
        UnreadablePhotoError: there are more than any photo has, or no end of them; or it is a
            named pipe, for which nobody may ever write.
    """
    from pandacat.photos import UnreadablePhotoError
    from pandacat.sources.archive import LARGEST_FILE_BYTES

    if Path(path).is_fifo() and not path.startswith("/dev/"):
        raise UnreadablePhotoError("a named pipe: give a file")
    with Path(path).open("rb") as stream:
        blocks = iter(partial(stream.read, 1 << 20), b"")
        data = b"".join(islice(blocks, (LARGEST_FILE_BYTES >> 20) + 1))
    if len(data) > LARGEST_FILE_BYTES:
        raise UnreadablePhotoError(f"larger than {LARGEST_FILE_BYTES >> 20} MiB")
    return data


class Counted:
    """Verdicts as they come, under a progress bar; counts those that failed."""

    def __init__(self, verdicts: Iterable["Verdict"], total: int) -> None:
        self._verdicts, self._total = verdicts, total
        self.failed = 0

    def __iter__(self) -> Iterator["Verdict"]:
        with tqdm(
            self._verdicts, total=self._total, unit="photo", disable=None, leave=False
        ) as bar:
            for verdict in bar:
                self.failed += verdict.reason is not None
                yield verdict


def print_lines(verdicts: Iterable["Verdict"], *, answers: bool) -> None:
    """Print one line per photo: verdict or answer, the three probabilities, the name."""
    width = 14 if answers else 9
    print(f"{'answer' if answers else 'verdict':{width}}{'panda':>7}{'cat':>8}{'other':>8}   photo")
    for verdict in verdicts:
        if verdict.probabilities is None:
            line = f"{UNREADABLE:{width + 23}}   {printable(verdict.name)}: {verdict.reason}"
        else:
            shares = "".join(f"{probability:8.1%}" for probability in verdict.probabilities)
            said = verdict.answer if answers else verdict.label
            line = f"{said:{width - 1}}{shares}   {printable(verdict.name)}"
        encoding = sys.stdout.encoding or "utf-8"
        tqdm.write(line.encode(encoding, "backslashreplace").decode(encoding))


def write_csv(path: Path, verdicts: Iterable["Verdict"], *, answers: bool) -> None:
    """Write `path,label,p_panda,p_cat,p_other`, and `answer` where asked for.

    Of an unreadable file the label is `unreadable`.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        extra = ("answer",) if answers else ()
        writer.writerow(("path", "label", *(f"p_{label}" for label in LABELS), *extra))
        for verdict in verdicts:
            if verdict.probabilities is None:
                print(f"{printable(verdict.name)}: {verdict.reason}", file=sys.stderr)
            row = (verdict.name, verdict.label or UNREADABLE, *(verdict.probabilities or ("",) * 3))
            writer.writerow((*row, verdict.answer or UNREADABLE) if answers else row)


def write_json_list(path: Path, verdicts: Iterable["Verdict"], *, answers: bool) -> None:
    """Write a list of objects with the columns of the CSV, and `reason` for unreadable files."""
    with path.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        separator = "[\n"
        for verdict in verdicts:
            row: dict[str, object] = {"path": verdict.name, "label": verdict.label or UNREADABLE}
            if verdict.probabilities is None:
                row["reason"] = verdict.reason
            else:
                row |= {f"p_{k}": p for k, p in zip(LABELS, verdict.probabilities, strict=True)}
            if answers:
                row["answer"] = verdict.answer or UNREADABLE
            stream.write(f"{separator}  {json.dumps(row, ensure_ascii=False)}")
            separator = ",\n"
        stream.write("\n]\n")


WRITERS = {".csv": write_csv, ".json": write_json_list}

TABLES_BEGIN = (
    b"path,label,p_panda,p_cat,p_other\n",
    b"path,label,p_panda,p_cat,p_other,answer\n",
    b'[\n  {"path": "',
    b"[\n\n]",
)
"""The first bytes of all that the writers write."""


def find_photos(paths: Sequence[str]) -> list[str]:
    """Return the files that the paths stand for: themselves, all photos in folders, patterns.

    A file that is not there, or a folder that can't be opened, is returned as well, so that it gets
    its line. What is named twice is returned once; hidden files and folders are passed over, and
    links to folders are not followed.

    Raises:
        PandacatError: only empty folders were given, or an empty name.
    """
    if "" in paths:
        raise PandacatError("One of the paths is empty: name a photo, a folder or a pattern.")
    found: dict[str, str] = {}
    for path in paths:
        try:
            matches = _meant_by(path)
        except OSError:  # reading it says why
            matches = [path]
        for match in matches:
            found.setdefault(os.path.abspath(match), match)  # noqa: PTH100, which keeps `..`
    if not found:
        raise PandacatError(
            f"No photos in {', '.join(paths)}: name the folder they are in, or the files, whatever "
            "their ending."
        )
    return list(found.values())


def _meant_by(path: str) -> list[str]:
    if Path(path).is_dir():
        return [str(file) for file in sorted(_photos_below(Path(path)))]
    if Path(path).exists():
        return [path]
    matching = sorted(glob(path, recursive=True))  # noqa: PTH207
    return [match for match in matching if not Path(match).is_dir()] or [path]


def _photos_below(top: Path) -> Iterator[Path]:
    """Yield the photos below a folder, and the folders that can't be opened."""
    closed: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(folder, name) for name in names if not name.startswith(".")):
            if file.suffix.lower() in PHOTO_ENDINGS and (file.is_file() or not file.exists()):
                yield file
    yield from (Path(error.filename) for error in closed)
