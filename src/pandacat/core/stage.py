"""How stages start and fail: `python -m pandacat.core.stage stages/audit.py` runs one."""

import gc
import inspect
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pandacat.core.errors import PandacatError, lacks_temporary_folder, sentence_of
from pandacat.core.interrupts import end_at_ctrl_c, raise_at_ctrl_c
from pandacat.core.libraries import silence_matplotlib
from pandacat.core.paths import PARAMS, project_root
from pandacat.core.processes import (
    process_count,
    process_rank,
    start_processes,
    torchrun_is_asked_for,
)
from pandacat.core.streams import prepare_streams


def run(main: Callable[..., None], *, distributed: bool = False) -> None:
    """Call `main` with the command line's arguments.

    A `distributed` stage is run by several processes where the environment asks for it. An error
    becomes a sentence on stderr and exit code 1, and so do wrong arguments; Ctrl-C becomes exit
    code 130.
    """
    with _ending_in_a_sentence():
        if distributed and torchrun_is_asked_for():
            start_processes(*sys.argv)
            return
        if process_count() > 1 and not distributed:
            raise PandacatError("This stage runs in one process: start it without torchrun.")
        raise_at_ctrl_c()
        if _is_experiment():
            _let_git_see_params()
        try:
            inspect.signature(main).bind(*sys.argv[1:])
        except TypeError as error:
            sys.exit(f"error: {error}. dvc.yaml has the command of each stage under `cmd`.")
        main(*sys.argv[1:])


@contextmanager
def _ending_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        text = sentence_of(error)
        if isinstance(error, FileNotFoundError) and not lacks_temporary_folder(error):
            missing = error.filename or error
            text = f"{missing} is missing. `dvc repro` runs the stages that write it."
        process = f" in process {rank}" if (rank := process_rank()) else ""
        sys.exit(f"error{process}: {text}{_way_back()}")


def _is_experiment() -> bool:
    """Return whether DVC runs this for an experiment, and not in a copy of the project."""
    return "DVC_EXP_NAME" in os.environ and project_root().samefile(".")


def _let_git_see_params() -> None:
    """Date `params.yaml` at least a second later than DVC did.

    DVC changes it in the second in which it notes its date for Git, which often compares seconds
    and sizes only: `200` in place of `100` would count as unchanged, and not be restored.
    """
    with suppress(OSError):
        written = PARAMS.stat().st_mtime
        os.utime(PARAMS, times=(written, max(time.time(), written + 1)))


def _way_back() -> str:
    """Return how to undo an experiment, before which DVC changed params and removed outputs."""
    if not _is_experiment():
        return ""
    return (
        "\nDVC has removed the outputs of this stage; its cache keeps them. Correct the experiment "
        "and run it again, or go back to the committed parameters and their results: `git restore "
        f"{PARAMS} && dvc repro`."
    )


def _launch() -> None:
    """Run the stage whose file the command line names, with the arguments that follow."""
    end_at_ctrl_c()
    prepare_streams()
    silence_matplotlib()
    if len(sys.argv) < 2:
        sys.exit("error: no stage given. `sh stages/run NAME` runs a stage of dvc.yaml.")
    with _ending_in_a_sentence(), _collecting_rarely():
        del sys.argv[0]
        runpy.run_path(sys.argv[0], run_name="__main__")


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Collect garbage after 100,000 new objects instead of 700, and none at exit.

    Modules stay until the end: going through those of PyTorch again and again takes half a second.
    """
    gc.set_threshold(100_000)
    try:
        yield
    finally:
        gc.freeze()


if __name__ == "__main__":
    _launch()
