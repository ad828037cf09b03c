"""Work that the cores of a Ray cluster share, as `ordered_map` shares it among threads.

Each core has a process of its own. Ray starts them, gives them work and, where a machine is lost,
gives its work to others.
"""

import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from pandacat.core.errors import PandacatError

Item = TypeVar("Item")
Result = TypeVar("Result")

LOCAL = "local"
"""In place of an address: a cluster of this machine alone, which ends with the work."""

TASKS_AHEAD = 2
"""For each core: one that runs, and one that waits."""

RETRIES = 5
"""Of work whose machine or process was lost."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # or it would report to its makers
    "RAY_NUM_REDIS_GET_RETRIES": "1",  # or it would try for a quarter of an hour to connect
    "RAY_gcs_server_request_timeout_seconds": "15",
}
"""What Ray reads from the environment when it is imported."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client begins (RFC 9113, 3.4), with empty settings; a server answers with its own."""

SECONDS_TO_ANSWER = 5
SECONDS_BETWEEN_CHECKS = 10


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Connect to Ray's cluster at `HOST:PORT`, or start one of this machine (`local`).

    Raises:
        PandacatError: Ray is not installed, or can't be used there.
    """
    os.environ |= SETTINGS
    if address == LOCAL:  # nobody else may use it, and Ray would leave a token in the user's home
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}
    try:
        import ray
    except ModuleNotFoundError:
        raise PandacatError(
            "The package ray is not installed: `make extra-ray` installs it in the project's "
            "folder, and `pip install '.[ray]'` in the active environment."
        ) from None
    if address != LOCAL:
        _require_ray(address)
    try:
        _join(address)
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        raise PandacatError(f"--ray {address}: {_reason(error)}") from None


def map_on_cluster(
    prepare: Callable[[], Callable[[Item], Result]], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield `prepare()(item)` for each item, in order, computed on the cores of the cluster.

    Each process calls `prepare` once. Few items are taken ahead of the reader, so memory stays flat
    however many there are. Machines that join meanwhile are used.

    Raises:
        PandacatError: an item can't be done, or no machine is left.
    """
    import ray

    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
    prepared = ray.put(prepare)
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(task.remote([prepared], item))
        while len(waiting) >= TASKS_AHEAD * _cores():
            yield _result(waiting.popleft())
    while waiting:
        yield _result(waiting.popleft())


def _call(prepared: list[Any], item: Any) -> Any:
    """Do the work on one item, in a process of Ray's, from the reference to what prepares it."""
    import ray

    try:
        return _function(*prepared)(item)
    except PandacatError as error:
        raise PandacatError(f"On {ray.util.get_node_ip_address()}: {error}") from None


@cache
def _function(prepared: Any) -> Any:
    import ray

    return ray.get(prepared)()


def _result(waiting: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    while not ray.wait([waiting], timeout=SECONDS_BETWEEN_CHECKS)[0]:
        if not _cores():
            raise PandacatError(
                "Ray's cluster has no machine with a free core: start one with `ray start`; the "
                "same command goes on."
            )
    try:
        return ray.get(waiting)
    except RayTaskError as error:
        if isinstance(error.cause, PandacatError):
            raise error.cause from None
        raise
    except RayError as error:
        raise PandacatError(
            f"Ray gave up after {RETRIES} retries ({type(error).__name__}): see that its machines "
            "have enough memory, and run it again, which goes on."
        ) from None


def _cores() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def _require_ray(address: str) -> None:
    """Refuse an address where no server of Ray's kind answers: Ray would wait for long."""
    import ray

    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        raise PandacatError(
            f"--ray {address}: give HOST:PORT of the first machine, as `ray start` prints it, or "
            f"`{LOCAL}` for this machine alone."
        )
    if host in ("localhost", "127.0.0.1"):  # as Ray does
        host = ray.util.get_node_ip_address()
    try:
        with socket.create_connection((host, int(port)), SECONDS_TO_ANSWER) as connection:
            connection.settimeout(SECONDS_TO_ANSWER)
            connection.sendall(HTTP2_PREFACE)
            answers = connection.recv(9)[3:4] == b"\4"
    except (OSError, OverflowError):
        answers = False
    if not answers:
        raise PandacatError(
            f"--ray {address}: no Ray answers at {host}:{port}. Start it on the first machine with "
            "`ray start --head`, which prints its address."
        )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "mismatch" in text:
        return f"{text}. Install the same versions on all machines: `make LOCKED=1 extra-ray`."
    if "AuthenticationError" in f"{error!r} {error.__cause__}":
        return (
            "this cluster has a token: copy ~/.ray/auth_token of its first machine to this one, "
            "and `export RAY_AUTH_MODE=token`."
        )
    return (
        f"{text[:200]}. This machine must be one of the cluster: `ray start --num-cpus=0 "
        "--address=ADDRESS` makes it one, which only hands out work."
    )
