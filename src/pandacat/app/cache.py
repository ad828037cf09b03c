"""`pandacat cache`: DVC's cache, shared with other machines, and a sentence where that fails."""

import argparse
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pandacat.core.errors import PandacatError
from pandacat.core.paths import project_root
from pandacat.data.sources.s3 import s3_error

_LOGGERS = ("dvc", "dvc_data", "dvc_objects")


def push(_: argparse.Namespace) -> int:
    """Copy all results to the remote, and what was computed for other parameters; return 0."""
    with _open_remote() as (repo, address):
        repo.push(run_cache=True)
        _push_outputs_of_runs(repo)
    print(f"{address} has all results that are here.")
    return 0


def _push_outputs_of_runs(repo: Any) -> None:
    """Copy what the run cache names; DVC copies its entries, and outputs of `dvc.lock` only."""
    entries = Path(repo.cache.legacy.path, "runs").glob("*/*/*")
    runs = [(entry.parent.name, entry.name) for entry in entries]
    for objects in repo.stage_cache.get_used_objs(runs).values():
        repo.cloud.push(objects)


def pull(_: argparse.Namespace) -> int:
    """Fetch all results from the remote, and lay out those that `dvc.lock` names; return 0."""
    with _open_remote() as (repo, address):
        repo.pull(run_cache=True)
    print(f"All results of {address} are here.")
    return 0


@contextmanager
def _open_remote() -> Iterator[tuple[Any, str]]:
    """Yield the project as DVC has it, and the address of its default remote.

    Raises:
        PandacatError: there is none, or it can't be used.
    """
    from dvc.repo import Repo

    errors = _LoggedErrors()
    address = "DVC"
    with errors.instead_of_messages():
        try:
            with Repo(str(project_root())) as repo:
                address = _address(repo.config)
                yield repo, address
        except (PandacatError, OSError) as error:
            raise s3_error(error, address) or error from None
        except Exception as error:
            raise _advice(errors.first or error, address) from None


def _address(config: dict[str, Any]) -> str:
    name = config["core"].get("remote")
    if name not in config["remote"]:
        raise PandacatError(
            "DVC has no default remote here: `dvc remote add --default shared ADDRESS` names one, "
            "a folder on a shared disk or s3://bucket/path."
        )
    return str(config["remote"][name]["url"])


class _LoggedErrors(logging.Filter):
    """Keeps what DVC logs as an error, a paragraph for each file, off the terminal."""

    first: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to print a record."""
        if record.levelno >= logging.ERROR and record.exc_info:
            self.first = self.first or record.exc_info[1]
        return record.levelno < logging.ERROR

    @contextmanager
    def instead_of_messages(self) -> Iterator[None]:
        """Filter what DVC's loggers write."""
        handlers = [each for name in _LOGGERS for each in logging.getLogger(name).handlers]
        for handler in handlers:
            handler.addFilter(self)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(self)


def _advice(error: BaseException, address: str) -> Exception:
    """Return the error with what to do about it."""
    from dvc.exceptions import CheckoutError

    if known := s3_error(error, address):
        return known
    if isinstance(error, OSError):
        return error
    if isinstance(error, CheckoutError):
        return PandacatError(
            f"{address} lacks files that dvc.lock names: `make push` copies them, where they were "
            "computed; `make repro` computes them here."
        )
    reason = " ".join(str(error).split())[:200].rstrip(".")
    if package := re.search(r"requires '(dvc-\w+)' to be installed", reason):
        name = package[1]
        install = "make extra-s3" if name == "dvc-s3" else f"pip install {name} -c constraints.txt"
        return PandacatError(f"{address} needs the package {name}: `{install}` installs it.")
    return PandacatError(f"{address} can't be used ({reason}): correct this, and run it again.")


ACTIONS = {"push": push, "pull": pull}
"""By their names on the command line."""
