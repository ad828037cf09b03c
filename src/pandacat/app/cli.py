"""The `pandacat` command: its options and exit codes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pandacat import __version__
from pandacat.core.errors import printable, sentence_of
from pandacat.core.interrupts import raise_at_ctrl_c
from pandacat.core.names import text_encoding
from pandacat.core.paths import EXPORTED, MODELS, in_project, project_root
from pandacat.core.streams import prepare_streams

EXAMPLES = """\
examples:
  pandacat predict examples/                   a folder and its sub-folders
  pandacat predict holiday.jpg 'zoo/*.png'     files and patterns
  pandacat predict zoo.zip                     the photos in a zip, which is not unpacked to disk
  curl -L ADDRESS | pandacat predict -         one photo from standard input
  pandacat predict photos/ -o table.csv        a table: path,label,p_panda,p_cat,p_other,reason
  pandacat predict photos/ --model pretrained  the ImageNet network, which needs no training
  pandacat predict photos/ --top 5             which ImageNet classes it takes the animals for
  pandacat predict photos/ --explain why/      pictures of what on the photos supports the labels
  pandacat predict photos/ --prediction-sets   panda, "panda or cat", "cat or other", ...

exit code: 0 if all photos were read; 1 if one could not be, or an error ended it; 2 for options
that do not exist
"""
SCORE_EXAMPLES = """\
examples:
  pandacat score photos/ --to scores                  Parquet files of 1,000 photos each
  pandacat score 2024.zip 2025.zip --to scores --model exported/int8
  pandacat score s3://bucket/2025 --to scores         object storage, with the extra s3
  python -c "import pandas; print(pandas.read_parquet('scores'))"

Stopped or killed, the same command scores what is left; photos that came meanwhile are scored, too.
Each photo has a row: path, label, p_... of each label, prediction_set, sha256 of the file, reason
why it can't be read, and notes.

exit code: 0 if all photos were read; 1 if one could not be, or an error ended it; 2 for wrong
options, or if DEST holds the scores of another model or source; 130 if Ctrl-C stopped it
"""
SERVE_EXAMPLES = """\
examples:
  pandacat serve                               open the address that it prints in a browser
  pandacat serve --model pretrained --port 9000
  pandacat serve --host 0.0.0.0                for other machines, too: anybody who reaches this one

photos in, JSON out:
  curl -H 'Content-Type: image/jpeg' --data-binary @panda.jpg http://127.0.0.1:8000/v1/predict
  curl -F files=@panda.jpg -F files=@cat.png 'http://127.0.0.1:8000/v1/predict?explain=true'

/v1/model says what the model is, /openapi.json all paths, /metrics counts for Prometheus, and
/health/ready whether it takes photos. Nothing is stored, and the log names no files. Ctrl-C or
SIGTERM ends it when what is in flight is answered; a second one ends it at once.

exit code: 0 if it was stopped; 1 if an error ended it; 2 for wrong options; 130 if it was stopped
before all was answered
"""
SETS = """name all labels that can't be ruled out, other among them. Calibrated so that, with 90%%
confidence for each label, at least 95%% of its photos get a set that contains it, among photos like
those trained on (params.yaml: fine_tune.coverage, coverage_confidence)"""
TOP = """also show the N most probable ImageNet classes, in lines 20 at most (fine-tuning shifts
their probabilities)"""
MODEL = """fine-tuned (default), pretrained, exported, exported/int8, a folder or file of a model,
or its address in MLflow, such as runs:/ID/fine-tuned"""
MODEL_FOLDER = "of models (default: models, in the folder of dvc.yaml)"
ENCODING = "of names in zips that are not UTF-8, such as gbk or cp932 (default: guessed)"
EXPLAIN = """also write each photo to FOLDER, in gray, colored where it supports the label
(Grad-CAM)"""
DEVICE = "where the network runs; auto (default) takes the GPU where there is one"
MAX_BODY = "largest body of a request, in 10⁶ bytes; larger ones get 413 (default: 50)"
MAX_IN_FLIGHT = "photos that may wait or be predicted at once; further ones get 503 (default: 64)"
SECONDS = "that the prediction of a photo may take; longer ones get 503 (default: 60)"
PACKAGE = """Write an exported model in MLflow's form. Its input is a column `photo`, files' bytes:

  pandacat package packed
  mlflow models serve --model-uri packed --env-manager local
"""
PACKAGED = "of the exported model (default: models/exported)"
GATE = """Exit with 0 if no metric fails; with 1 if one does, because it regressed by more than
params.yaml and chance allow, broke its floor or ceiling, or is missing; with 2 if the metrics can't
be compared."""

SEARCH = """Search settings of fine-tuning (l2_sp, learning_rate, steps, seen_class_scale,
interpolation) on folds of the training photos' features, with Optuna; the test photos have no part
in it. Stopped, the same command goes on (docs/experiments.md)."""

REGISTRY = """Which version of the exported model is the one to use (docs/releases.md):
`--model models:/pandacat@champion`, for `pandacat predict` and `serve`."""
PROMOTE = """Make the challenger the champion, if it is not worse on photos that neither has seen.
Exit with 0 if it is promoted; with 1 if a metric regressed by more than params.yaml and chance
allow; with 2 if the two can't be compared."""

CACHE = """DVC's cache, shared through its default remote (docs/experiments.md): results, and what
was computed for other parameters. `make push` and `make pull` run it."""
CACHE_ACTIONS = {
    "push": "copy to the remote what it lacks",
    "pull": "fetch from the remote what is not here, and lay out the results of dvc.lock",
}
REGISTRY_ACTIONS = {
    "register": "make the exported model a version, the challenger",
    "promote": "make the challenger the champion, if it is not worse",
    "rollback": "make the previous version the champion again",
    "show": "list the versions",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    prepare_streams()
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
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
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="photo, folder, zip or pattern; - is standard input",
    )
    _add_model_options(predict)
    add("-o", "--output", type=Path, metavar="FILE", help="write a .csv or .json file, not lines")
    add("--force", action="store_true", help="replace FILE if it exists")
    add("--top", type=_count, default=0, metavar="N", help=TOP)
    add("--prediction-sets", action="store_true", help=SETS)
    add("--explain", type=Path, metavar="FOLDER", help=EXPLAIN)
    _add_photo_options(predict)
    predict.set_defaults(run=_predict, failure=1, parser=predict)

    score = commands.add_parser(
        "score",
        help="predict a million photos, in blocks that are never done twice",
        description="Predict many photos, in blocks of Parquet; stopped, it can be continued.",
        epilog=SCORE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = score.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="folder, zip or s3://BUCKET/FOLDER of photos")
    add("--to", type=Path, required=True, metavar="DEST", help="folder of the scores")
    _add_model_options(score)
    _add_photo_options(score)
    score.set_defaults(run=_score, failure=1, parser=score)

    serve = commands.add_parser(
        "serve",
        help="answer photos over HTTP, and serve a page for them",
        description="Answer photos over HTTP with predictions, and serve a page to drop them on.",
        epilog=SERVE_EXAMPLES,
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
    add("--max-body-mb", type=_amount, default=50, metavar="MB", help=MAX_BODY)
    add("--max-in-flight", type=_count, default=64, metavar="N", help=MAX_IN_FLIGHT)
    add("--seconds", type=_amount, default=60, metavar="S", help=SECONDS)
    serve.set_defaults(run=_serve, failure=1, parser=serve)

    package = commands.add_parser(
        "package",
        help="write a model in MLflow's form",
        description=PACKAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = package.add_argument
    add("folder", type=Path, metavar="FOLDER", help="to write; it must not exist")
    add("--model", type=Path, default=in_project(EXPORTED), metavar="FOLDER", help=PACKAGED)
    package.set_defaults(run=_package, failure=1, parser=package)

    gate = commands.add_parser(
        "gate", help="compare the metrics with those of a Git revision", description=GATE
    )
    add = gate.add_argument
    add("--against", default="main", metavar="REV", help="Git revision (default: main)")
    add("--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too")
    add("--force", action="store_true", help="replace FILE if it exists")
    gate.set_defaults(run=_gate, failure=2, parser=gate)

    search = commands.add_parser(
        "search", help="find better settings of fine-tuning", description=SEARCH
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
        "registry", help="versions of the model in MLflow's registry", description=REGISTRY
    )
    actions = registry.add_subparsers(required=True, metavar="ACTION", dest="action")
    for action, text in REGISTRY_ACTIONS.items():
        described = PROMOTE if action == "promote" else text
        parser_of = actions.add_parser(action, help=text, description=described)
        failure = 2 if action == "promote" else 1
        parser_of.set_defaults(run=_registry, failure=failure, parser=parser_of)

    cache = commands.add_parser("cache", help="results shared with others", description=CACHE)
    actions = cache.add_subparsers(required=True, metavar="ACTION", dest="action")
    for action, text in CACHE_ACTIONS.items():
        parser_of = actions.add_parser(action, help=text, description=text)
        parser_of.set_defaults(run=_cache, failure=1, parser=parser_of)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", metavar="NAME", help=MODEL)
    add("--models", type=Path, default=in_project(MODELS), metavar="FOLDER", help=MODEL_FOLDER)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)


def _add_photo_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--encoding", type=_encoding, metavar="NAME", help=ENCODING)
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
