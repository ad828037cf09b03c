"""The paths of the service."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException as AnyHTTPException

from pandacat import __version__
from pandacat.models.classifier import Classifier
from pandacat.service.answers import (
    BROKEN,
    MODEL,
    PANDA,
    Answer,
    Health,
    ModelAnswer,
    Problem,
    late_answer,
    model_answer,
    model_name,
)
from pandacat.service.forms import FIELD, photos_in_form
from pandacat.service.limits import Body, Limits, busy
from pandacat.service.pool import UNNAMED, Photo, Pool
from pandacat.service.traffic import Answering, Traffic

STATIC = Path(__file__).with_name("static")

FORM = "multipart/form-data"

_PHOTO = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        "image/*": _PHOTO,
        "application/octet-stream": _PHOTO,
        FORM: {
            "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}},
        },
    },
}


def _example(summary: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "value": value}


def _json(model: type, **examples: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "content": {"application/json": {"examples": examples}}}


def _problem(description: str, detail: str) -> dict[str, Any]:
    content = {"application/json": {"example": {"detail": detail}}}
    return {"model": Problem, "description": description, "content": content}


_READ = _example("a panda, and a broken file", {"model": MODEL, "predictions": [PANDA, BROKEN]})
_UNREADABLE = _example("a broken file", {"model": MODEL, "predictions": [BROKEN]})
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _json(Answer, predictions=_READ),
    408: _problem("The body came too slowly", "The photo came too slowly: send it again."),
    413: _problem("The body is too large", "The body has more than 50 MB: send photos one by one."),
    415: _problem("The body is no photo", "Send a photo as image/jpeg, or files in a form."),
    422: _json(Answer | Problem, unreadable=_UNREADABLE)  # type: ignore[arg-type]
    | {"description": "The photo or the form can't be read"},
    503: _problem("Too many photos", "Too many photos are in flight: try again after 2 s.")
    | {"headers": {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}},
}


def create_app(classifier: Classifier, limits: Limits, traffic: Traffic | None = None) -> FastAPI:
    """Return the service of a classifier; `traffic` says what goes on in it."""
    traffic = traffic or Traffic(limits)
    pool = Pool(classifier, traffic)
    metrics = traffic.metrics
    app = FastAPI(
        title="pandacat",
        version=__version__,
        description="Recognizes animals in photos, with calibrated confidence.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Answering, traffic=traffic)
    app.add_exception_handler(AnyHTTPException, _problem_answer)
    app.add_exception_handler(RequestValidationError, _invalid_answer)

    @app.post("/v1/predict", responses=_RESPONSES, openapi_extra={"requestBody": _BODY})
    async def predict(request: Request, response: Response, *, explain: bool = False) -> Answer:
        """Predict which animal is on a photo, sent as the body, or on the files of a form."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        async with Body(request, limits, traffic.bytes) as body:
            if traffic.is_closing:
                raise busy("The service is being stopped")
            if kind == FORM:
                photos = await photos_in_form(request.headers, body, limits.max_in_flight)
            elif kind.startswith("image/") or kind == "application/octet-stream":
                photos = [Photo(UNNAMED, await body.whole())]
            else:
                raise HTTPException(
                    415,
                    "Send a photo as the body, with its Content-Type, such as image/jpeg, or as "
                    f"application/octet-stream; or files called {FIELD} as {FORM}.",
                )
            results = await pool.predict(photos, explain=explain)
        if kind != FORM and results == [None]:
            raise busy(f"The photo takes longer than {limits.seconds:g} s")
        answers = [
            result or late_answer(photo.name, limits.seconds)
            for photo, result in zip(photos, results, strict=True)
        ]
        for answer in answers:
            metrics.photos.labels(answer.label or "unreadable").inc()
        if kind != FORM and answers[0].reason is not None:
            response.status_code = 422
        return Answer(model=model_name(classifier), predictions=answers)

    @app.get("/v1/model")
    async def model() -> ModelAnswer:
        """Say what the model is, and what the service takes."""
        return model_answer(classifier, limits, explains=pool.explains)

    @app.get("/health/live")
    async def live() -> Health:
        """Say that the service runs."""
        return Health(status="live")

    @app.get("/health/ready", responses={503: _problem("Not ready", "Try again after 2 s.")})
    async def ready() -> Health:
        """Say whether the service takes photos."""
        if traffic.is_closing:
            raise busy("The service is being stopped")
        return Health(status="ready")

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False))
    return app


async def _problem_answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    details = {
        404: "There is nothing at this path: /openapi.json lists what there is.",
        405: "This path takes another method: /openapi.json lists which.",
    }
    detail = details.get(error.status_code, error.detail)
    return JSONResponse({"detail": detail}, error.status_code, error.headers)


async def _invalid_answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}."}, 422)
