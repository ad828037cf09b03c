"""The `pandacat` command."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pandacat.core import paths
from pandacat.core.errors import PandacatError, sentence_of
from pandacat.core.files import atomic_write
from pandacat.core.interrupts import raise_at_ctrl_c
from pandacat.evaluation.gate import command
from pandacat.tracking.journal import JOURNALS, project_root, sync

EXAMPLES = """\
examples:
  pandacat predict examples/                        a folder and those in it; no links to others
  pandacat predict holiday.jpg 'zoo/*.png'          files and patterns
  pandacat predict photos/ --output verdicts.csv    as a table: path,label,p_panda,p_cat,p_other
  pandacat predict photos/ --model pretrained       the untouched network; needs no training
  pandacat predict photos/ --prediction-sets                panda, cat, "panda or cat" or neither
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
        default=paths.MODELS,
        metavar="FOLDER",
        help="where trained models lie (default: models)",
    )
    predict.add_argument(
        "--output", type=Path, metavar="FILE", help="write a .csv or .json file instead of lines"
    )
    predict.add_argument(
        "--prediction-sets",
        action="store_true",
        help="name every animal that can't be ruled out: 95 in 100 pandas, and as many cats, get "
        "their name on photos like those trained on (params.yaml: fine_tune.coverage); others may "
        "get one, too",
    )
    predict.set_defaults(run=_predict)

    compare = commands.add_parser(
        "gate",
        help="compare the figures with those of a Git revision",
        description="Exit 1 where a figure got worse than params.yaml allows, 2 where none can be "
        "compared.",
    )
    command.add_arguments(compare)
    compare.set_defaults(run=command.run)

    track = commands.add_parser("tracking", help="what MLflow does not have yet")
    actions = track.add_subparsers(required=True, metavar="ACTION")
    sync = actions.add_parser("sync", help="send the runs that could not be sent when they ran")
    sync.set_defaults(run=_sync)
    return parser


def _sync(_: argparse.Namespace) -> int:
    sent = sync()
    waiting = project_root() / JOURNALS
    print(f"{sent} runs sent." if sent else f"No run waits in {waiting}.")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from pandacat.app import output
    from pandacat.app.inputs import find_photos, read_file
    from pandacat.models.loading import load_classifier

    place = output.table_path(options.output) if options.output else None
    paths = find_photos(options.paths)
    classifier = load_classifier(options.model, models=options.models)
    if options.prediction_sets and classifier.description.conformal is None:
        raise PandacatError(
            f"--prediction-sets: the model {options.model} was not calibrated for them; use the "
            "fine-tuned one, which `dvc repro` trains."
        )
    found = output.Counted(
        classifier.predict_many((path, partial(read_file, path)) for path in paths), len(paths)
    )
    if place:
        write = output.WRITERS[options.output.suffix.lower()]
        with atomic_write(place) as aside:
            write(aside, found, prediction_sets=options.prediction_sets)
    else:
        output.print_lines(found, prediction_sets=options.prediction_sets)
    if found.failed:
        print(f"{found.failed} of {len(paths)} files could not be read.", file=sys.stderr)
    return 1 if found.failed else 0
