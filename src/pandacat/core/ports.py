"""Ports of this machine on which something may listen."""

import socket


def free_port(port: int) -> int:
    """Return the next port above this one, or above 1023, on which nothing listens."""
    candidates = (*range(port + 1, 65536), *range(1024, port))
    return next(candidate for candidate in candidates if not listens(candidate))


def listens(port: int) -> bool:
    """Return whether something listens on this port of the loopback address."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
