"""The `pandacat` command: its options and exit codes."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pandacat import __version__
from pandacat.core.errors import sentence_of
from pandacat.core.interrupts import raise_at_ctrl_c
from pandacat.core.paths import MODELS

EXAMPLES = """\
examples:
  pandacat predict examples/                      a folder and its sub-folders
  pandacat predict holiday.jpg 'zoo/*.png'        files and patterns
  pandacat predict photos/ --output table.csv     as a table: path,label,p_panda,p_cat,p_other
  pandacat predict photos/ --model pretrained     the ImageNet network, which needs no training
  pandacat predict photos/ --prediction-sets      panda, cat, "panda or cat", or other
"""
SETS = """name all animals that can't be ruled out; on photos like those trained on, the set holds
the right one for 95%% of each animal's photos (params.yaml: fine_tune.coverage)"""
GATE = """Exit with 1 if a metric regressed by more than params.yaml and chance allow, with 2 if
the metrics can't be compared."""


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
        return options.failure
    except Exception as error:
        print(f"pandacat: {sentence_of(error)}", file=sys.stderr)
        return options.failure
    return code


def _replace_closed_streams() -> None:
    """Drop what is printed to a closed stream (`2>&-`), which the next file opened would get."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", errors="replace"))  # noqa: SIM115


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pandacat", description="Recognize animals in photos, with calibrated confidence."
    )
    parser.add_argument("--version", action="version", version=f"pandacat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser(
        "predict",
        help="predict which animal is on photos",
        description="Predict which animal is on photos (by default panda or cat), or other.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = predict.add_argument
    add("paths", nargs="+", metavar="PATH", help="photo, folder or pattern")
    add("--model", metavar="NAME", help="fine-tuned (default), pretrained, or a model's folder")
    add("--models", type=Path, default=MODELS, metavar="FOLDER", help="of models (default: models)")
    add("--output", type=Path, metavar="FILE", help="write a .csv or .json file instead of lines")
    add("--force", action="store_true", help="replace FILE if it exists")
    add("--prediction-sets", action="store_true", help=SETS)
    predict.set_defaults(run=_predict, failure=1)

    gate = commands.add_parser(
        "gate", help="compare the metrics with those of a Git revision", description=GATE
    )
    add = gate.add_argument
    add("--against", default="main", metavar="REV", help="Git revision (default: main)")
    add("--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too")
    add("--force", action="store_true", help="replace FILE if it exists")
    gate.set_defaults(run=_gate, failure=2)

    tracking = commands.add_parser("tracking", help="runs that MLflow does not have yet")
    actions = tracking.add_subparsers(required=True, metavar="ACTION")
    sync = actions.add_parser("sync", help="send the runs that could not be sent when they ran")
    sync.set_defaults(run=_sync, failure=1)
    return parser


def _predict(options: argparse.Namespace) -> int:
    from pandacat.app import predict

    return predict.run(options)


def _gate(options: argparse.Namespace) -> int:
    from pandacat.app import gate

    return gate.run(options)


def _sync(_: argparse.Namespace) -> int:
    from pandacat.tracking.delivery import sync
    from pandacat.tracking.journal import JOURNALS, project_root

    sent = sync()
    print(f"{sent} runs sent." if sent else f"No runs are waiting in {project_root() / JOURNALS}.")
    return 0
