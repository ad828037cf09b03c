"""`pandacat serve`: predictions over HTTP."""

import argparse

from pandacat.app.predict import load
from pandacat.service.limits import Limits
from pandacat.service.run import bound, serve


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; return an exit code."""
    limits = Limits(options.max_body_mb, options.max_in_flight, options.seconds)
    with bound(options.host, options.port) as listener:
        _, classifier = load(options)
        listener.listen()  # from now on clients wait, and are not refused
        host, port = listener.getsockname()[:2]
        address = f"[{host}]" if ":" in host else host
        print(f"\nOpen http://{address}:{port}/ (Ctrl-C ends it)\n", flush=True)
        return serve(classifier, limits, listener)
