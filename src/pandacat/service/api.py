"""The paths of the service."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException as AnyHTTPException

from pandacat import __version__
from pandacat.models.classifier import Classifier
from pandacat.service.answers import (
    Answer,
    Health,
    ModelAnswer,
    late_answer,
    model_answer,
    model_name,
)
from pandacat.service.body import FORM, Body, media_type, photos_in
from pandacat.service.limits import Limits, busy
from pandacat.service.openapi import BODY, RESPONSES, problem, with_examples
from pandacat.service.pool import Pool
from pandacat.service.traffic import Answering, Traffic

STATIC = Path(__file__).with_name("static")

Explain = Annotated[bool, Query(description="Whether to return heatmaps")]


def create_app(classifier: Classifier, limits: Limits, traffic: Traffic | None = None) -> FastAPI:
    """Return the service of a classifier; `traffic` says what goes on in it."""
    traffic = traffic or Traffic(limits)
    pool = Pool(classifier, traffic)
    metrics = traffic.metrics
    app = FastAPI(
        title="pandacat",
        version=__version__,
        description="Recognizes animals in photos, with calibrated confidence.",
        telemetry={"tracing": False, "metrics": False, "logs": False},
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Answering, traffic=traffic)
    app.add_exception_handler(AnyHTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid)

    @app.post("/v1/predict", responses=RESPONSES, openapi_extra={"requestBody": BODY})
    async def predict(request: Request, response: Response, *, explain: Explain = False) -> Answer:
        """Predict which animal is on a photo, sent as the body, or on the files of a form."""
        async with Body(request, limits, traffic.bytes) as body:
            if traffic.is_closing:
                raise busy("The service is being stopped")
            photos = await photos_in(request, body, limits.max_in_flight)
            results = await pool.predict(photos, explain=explain)
        is_alone = media_type(request) != FORM
        if is_alone and results == [None]:
            raise busy(f"The photo takes longer than {limits.seconds:g} s")
        answers = [
            result or late_answer(photo.name, limits.seconds)
            for photo, result in zip(photos, results, strict=True)
        ]
        for answer in answers:
            metrics.photos.labels(answer.label or "unreadable").inc()
        if is_alone and answers[0].reason is not None:
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

    @app.get("/health/ready", responses={503: problem("Not ready", "Try again after 2 s.")})
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
        return JSONResponse(with_examples(app.openapi()))

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False))
    return app


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    details = {
        404: "There is nothing at this path: /openapi.json lists what there is.",
        405: "This path takes another method: /openapi.json lists which.",
    }
    detail = details.get(error.status_code, error.detail)
    return JSONResponse({"detail": detail}, error.status_code, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}."}, 422)
