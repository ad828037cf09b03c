"""The `pandacat` command: its options and exit codes."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pandacat import __version__
from pandacat.app import help_texts as texts
from pandacat.core.errors import printable, sentence_of, some_of
from pandacat.core.interrupts import raise_at_ctrl_c
from pandacat.core.names import shell_word, text_encoding
from pandacat.core.paths import EXPORTED, MODELS, in_project, project_root
from pandacat.core.streams import prepare_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    prepare_streams()
    options = _parse(sys.argv[1:] if arguments is None else arguments)
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


class _Parser(argparse.ArgumentParser):
    """One whose errors are `printable`, whatever names of files are in them."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    try:
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as error:
        dashed = (word for word in arguments if word.startswith("-"))
        files = [shell_word(word) for word in dashed if os.path.isfile(word)]  # noqa: PTH113
        if error.code and files:
            some = some_of(files)
            print(f"Files whose names begin with - are given as {some}", file=sys.stderr)
        raise
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pandacat", description="Recognize animals in photos, with calibrated confidence."
    )
    parser.add_argument("--version", action="version", version=f"pandacat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser(
        "predict",
        help="predict which animal is on photos",
        description="Predict which animal is on photos (by default panda or cat), or other.",
        epilog=texts.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = predict.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="photo, folder, zip or pattern; - is standard input",
    )
    _add_model_options(predict)
    add("-o", "--output", type=Path, metavar="FILE", help="write a .csv or .json file, not lines")
    add("--force", action="store_true", help="replace FILE if it exists")
    add("--top", type=_count, default=0, metavar="N", help=texts.TOP)
    add("--prediction-sets", action="store_true", help=texts.SETS)
    add("--explain", type=Path, metavar="FOLDER", help=texts.EXPLAIN)
    _add_photo_options(predict)
    predict.set_defaults(run=_predict, failure=1, parser=predict)

    score = commands.add_parser(
        "score",
        help="predict a million photos, in blocks that are never done twice",
        description="Predict many photos, in blocks of Parquet; stopped, it can be continued.",
        epilog=texts.SCORE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = score.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="folder, zip or s3://BUCKET/FOLDER of photos")
    add("--to", type=Path, required=True, metavar="DEST", help="folder of the scores")
    add("--ray", metavar="ADDRESS", help=texts.RAY)
    _add_model_options(score)
    _add_photo_options(score)
    score.set_defaults(run=_score, failure=1, parser=score)

    serve = commands.add_parser(
        "serve",
        help="answer photos over HTTP, and serve a page for them",
        description="Answer photos over HTTP with predictions, and serve a page to drop them on.",
        epilog=texts.SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model_options(serve)
    add = serve.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, this machine)",
    )
    add("--port", type=int, default=8000, help="to listen on (default: 8000; 0 takes a free one)")
    add("--max-body-mb", type=_amount, default=50, metavar="MB", help=texts.MAX_BODY)
    add("--max-in-flight", type=_count, default=64, metavar="N", help=texts.MAX_IN_FLIGHT)
    add("--seconds", type=_amount, default=60, metavar="S", help=texts.SECONDS)
    serve.set_defaults(run=_serve, failure=1, parser=serve)

    package = commands.add_parser(
        "package",
        help="write a model in MLflow's form",
        description=texts.PACKAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = package.add_argument
    add("folder", type=Path, metavar="FOLDER", help="to write; it must not exist")
    add("--model", type=Path, default=in_project(EXPORTED), metavar="FOLDER", help=texts.PACKAGED)
    package.set_defaults(run=_package, failure=1, parser=package)

    gate = commands.add_parser(
        "gate", help="compare the metrics with those of a Git revision", description=texts.GATE
    )
    add = gate.add_argument
    add("--against", default="main", metavar="REV", help="Git revision (default: main)")
    add("--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too")
    add("--force", action="store_true", help="replace FILE if it exists")
    gate.set_defaults(run=_gate, failure=2, parser=gate)

    search = commands.add_parser(
        "search", help="find better settings of fine-tuning", description=texts.SEARCH
    )
    add = search.add_argument
    add("--trials", type=_count, default=40, metavar="N", help="settings in all (default: 40)")
    add("--folds", type=_folds, default=10, metavar="N", help="of the photos (default: 10)")
    add("--seed", type=int, default=0, metavar="N", help="of the search (default: 0)")
    add("--queue", type=_count, default=0, metavar="K", help="queue the K best as experiments")
    search.set_defaults(run=_search, failure=1, parser=search)

    tracking = commands.add_parser("tracking", help="the runs in MLflow")
    actions = tracking.add_subparsers(required=True, metavar="ACTION")
    sync = actions.add_parser("sync", help="send the runs that could not be sent when they ran")
    sync.set_defaults(run=_sync, failure=1, parser=sync)
    ui = actions.add_parser("ui", help="serve MLflow's pages of the runs")
    ui.add_argument("--port", type=int, default=5000, metavar="PORT", help="(default: 5000)")
    ui.set_defaults(run=_ui, failure=1, parser=ui)

    registry = commands.add_parser(
        "registry", help="versions of the model in MLflow's registry", description=texts.REGISTRY
    )
    actions = registry.add_subparsers(required=True, metavar="ACTION", dest="action")
    for action, text in texts.REGISTRY_ACTIONS.items():
        described = texts.PROMOTE if action == "promote" else text
        parser_of = actions.add_parser(action, help=text, description=described)
        failure = 2 if action == "promote" else 1
        parser_of.set_defaults(run=_registry, failure=failure, parser=parser_of)

    cache = commands.add_parser("cache", help="results shared with others", description=texts.CACHE)
    actions = cache.add_subparsers(required=True, metavar="ACTION", dest="action")
    for action, text in texts.CACHE_ACTIONS.items():
        parser_of = actions.add_parser(action, help=text, description=text)
        parser_of.set_defaults(run=_cache, failure=1, parser=parser_of)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", metavar="NAME", help=texts.MODEL)
    add(
        "--models", type=Path, default=in_project(MODELS), metavar="FOLDER", help=texts.MODEL_FOLDER
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help=texts.DEVICE)


def _add_photo_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--encoding", type=_encoding, metavar="NAME", help=texts.ENCODING)
    add("-q", "--quiet", action="store_true", help="no progress bar and no notes, only errors")


def _encoding(text: str) -> str:
    try:
        return text_encoding(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _folds(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 2 up")
    return int(text)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0
    if not 0 < amount < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and a million")
    return amount


def _predict(options: argparse.Namespace) -> int:
    from pandacat.app import predict

    return predict.run(options)


def _score(options: argparse.Namespace) -> int:
    from pandacat.app import score

    return score.run(options)


def _serve(options: argparse.Namespace) -> int:
    from pandacat.app import serve

    return serve.run(options)


def _package(options: argparse.Namespace) -> int:
    from pandacat.app import package

    return package.run(options)


def _gate(options: argparse.Namespace) -> int:
    from pandacat.app import gate

    return gate.run(options)


def _search(options: argparse.Namespace) -> int:
    from pandacat.app import search

    return search.run(options)


def _sync(_: argparse.Namespace) -> int:
    from pandacat.tracking.delivery import sync
    from pandacat.tracking.journal import JOURNALS

    sent = sync()
    waiting = printable(str(project_root() / JOURNALS))
    print(f"{sent} runs sent." if sent else f"No runs are waiting in {waiting}.")
    return 0


def _ui(options: argparse.Namespace) -> int:
    from pandacat.tracking.ui import serve

    return serve(options.port)


def _registry(options: argparse.Namespace) -> int:
    from pandacat.app import registry

    return registry.ACTIONS[options.action](options)


def _cache(options: argparse.Namespace) -> int:
    from pandacat.app import cache

    return cache.ACTIONS[options.action](options)
