"""What the OpenAPI says that does not follow from types: bodies, refusals, examples."""

from typing import Any

from pandacat.service.answers import Answer, Problem
from pandacat.service.body import BYTES, FIELD, FORM

PANDA: dict[str, Any] = {
    "name": "panda.jpg",
    "label": "panda",
    "probabilities": {"panda": 0.97, "cat": 0.01, "other": 0.02},
    "prediction_set": ["panda"],
    "reason": None,
    "notes": [],
    "heatmap": None,
}
BROKEN: dict[str, Any] = {
    "name": "broken.jpg",
    "label": None,
    "probabilities": None,
    "prediction_set": None,
    "reason": "damaged: its header can't be read",
    "notes": [],
    "heatmap": None,
}
MODEL: dict[str, Any] = {
    "title": "Giant pandas and cats",
    "sha256": "5a4d1f0f6c3f4d0ab1f58e1fb1d6f3d0b4f0a3b9a0a9f8a7c6d5e4f3a2b1c0d9",
    "labels": ["panda", "cat", "other"],
}
_PHOTO = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
BODY = {
    "required": True,
    "content": {
        "image/*": _PHOTO,
        BYTES: _PHOTO,
        FORM: {
            "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}},
        },
    },
}


def problem(description: str, detail: str) -> dict[str, Any]:
    """Return the description of a refusal, with an example of its sentence."""
    content = {"application/json": {"example": {"detail": detail}}}
    return {"model": Problem, "description": description, "content": content}


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Predictions, in the order in which the photos were sent"},
    408: problem("The body came too slowly", "The photo came too slowly: send it again."),
    413: problem("The body is too large", "The body has more than 50 MB: send photos one by one."),
    415: problem("The body is no photo", "Send a photo as image/jpeg, or files in a form."),
    422: {"model": Answer | Problem, "description": "The photo or the form can't be read"},
    503: problem("Too many photos", "Too many photos are in flight: try again after 2 s.")
    | {"headers": {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}},
}
EXAMPLES = {
    "200": {"model": MODEL, "predictions": [PANDA, BROKEN]},
    "422": {"model": MODEL, "predictions": [BROKEN]},
}


def with_examples(openapi: dict[str, Any]) -> dict[str, Any]:
    """Return the description with examples of predictions, whose nulls FastAPI would drop."""
    responses = openapi["paths"]["/v1/predict"]["post"]["responses"]
    for status, example in EXAMPLES.items():
        responses[status]["content"]["application/json"]["example"] = example
    return openapi
