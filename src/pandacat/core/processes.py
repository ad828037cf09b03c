"""The processes that `torchrun` starts to run one stage together; by default there is one."""

import os
import shlex
import sys

from pandacat.core.errors import PandacatError

OPTIONS = "PANDACAT_TORCHRUN"
"""The environment's variable with torchrun's options, such as `--nproc-per-node 2`."""


def process_count() -> int:
    """Return how many there are, on all machines."""
    return int(os.environ["WORLD_SIZE"]) if _is_started_by_torchrun() else 1


def process_rank() -> int:
    """Return the number of this one, from 0."""
    return int(os.environ["RANK"]) if _is_started_by_torchrun() else 0


def is_first_process() -> bool:
    """Return whether this is the one that validates, prints, and writes files."""
    return process_rank() == 0


def torchrun_is_asked_for() -> bool:
    """Return whether the environment has options for `torchrun`, which has not started this."""
    return bool(os.environ.get(OPTIONS)) and not _is_started_by_torchrun()


def _is_started_by_torchrun() -> bool:
    """Return whether it set the variables, and not a cluster for purposes of its own."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def start_processes(*stage: str) -> None:
    """Run a stage in several processes: its file, and its arguments.

    Raises:
        PandacatError: one of them was ended, or the options can't be used.
        SystemExit: one of them failed, and has said why.
    """
    from torch.distributed import DistNetworkError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import main as torchrun

    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        torchrun([*shlex.split(os.environ[OPTIONS]), "-m", "pandacat.core.stage", *stage])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            sys.exit(1)
        raise PandacatError(
            f"Process {rank} of this training was ended ({failure.signal_name()}), for lack of "
            "memory or by somebody. The same command resumes after the last complete epoch."
        ) from None
    except (ValueError, DistNetworkError, RendezvousError) as error:
        raise PandacatError(
            f"torchrun can't start the processes ({error}): correct its options in {OPTIONS}. Each "
            "machine needs the same ones, but for --node-rank, and the command within 15 minutes."
        ) from None
    except SignalException as error:
        sys.exit(128 + error.sigval)
