"""What every answer has in common: headers, a line in the log, metrics."""

import asyncio
import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pandacat.service.limits import LARGEST_BODIES, Budget, Limits

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

GONE = 499
"""In log and metrics: the client went before it was answered (nginx's number for it)."""

logger = logging.getLogger(__name__)


class Metrics:
    """What Prometheus is told, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pandacat_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "pandacat_request_seconds",
            "From a request's head to the end of its answer",
            ["route"],
            registry=self.registry,
        )
        self.photos = Counter(
            "pandacat_photos", "Photos answered, by label", ["label"], registry=self.registry
        )
        self.in_flight = Gauge(
            "pandacat_photos_in_flight", "Photos that wait or are predicted", registry=self.registry
        )


class Traffic:
    """What is going on, and how much of it may."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
        """That are being answered."""
        self.photos = Budget(limits.max_in_flight)
        """That wait or are predicted."""
        self.bytes = Budget(LARGEST_BODIES * limits.max_body_bytes)
        """Of bodies."""
        self.is_closing = False
        """Whether the service is about to end and takes no more photos."""
        self.metrics = Metrics()
        self.metrics.in_flight.set_function(lambda: self.photos.taken)


class Answering:
    """Middleware that gives every answer its headers, its line in the log and its metrics."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app, self._traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start, status = time.perf_counter(), GONE

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                if self._traffic.is_closing:
                    headers["Connection"] = "close"
            await send(message)

        self._traffic.requests += 1
        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # the service is ended at once
            if status == GONE:
                stopped = {"detail": "The service was stopped: try again later."}
                await JSONResponse(stopped, 503)(scope, receive, send_with_headers)
        except Exception:
            logger.exception("Unexpected error: this is a bug; please report it")
            if status != GONE:
                raise
            detail = "Unexpected error: the service's log says more; please report it as a bug."
            await JSONResponse({"detail": detail}, 500)(scope, receive, send_with_headers)
        finally:
            self._traffic.requests -= 1
            self._record(scope, status, time.perf_counter() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request, and log it by its route: a path may name a photo."""
        route = getattr(scope.get("route"), "path", scope.get("root_path")) or "none"
        self._traffic.metrics.requests.labels(route, status).inc()
        self._traffic.metrics.seconds.labels(route).observe(seconds)
        logger.info("%s %s %d %.0f ms", scope["method"], route, status, 1000 * seconds)
