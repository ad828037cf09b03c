"""The JSON that the service answers with."""

import base64
import io
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from pandacat.models.classifier import Classifier, Prediction
from pandacat.models.explanation import heat_image
from pandacat.service.limits import Limits


class ModelName(BaseModel):
    """Which model predicted."""

    title: str = Field(description="Of the photos that it was trained on")
    sha256: str = Field(description="Of its weights")
    labels: list[str] = Field(description="In the order of all probabilities; `other` is none")


class PhotoAnswer(BaseModel):
    """What the model predicts for one photo, or why it can't."""

    name: str = Field(description="Of the file in the form; `photo` where the body was one")
    label: str | None = Field(description="The most probable; null where it can't be read")
    probabilities: dict[str, float] | None = Field(description="By label, summing to 1")
    prediction_set: list[str] | None = Field(
        description="All labels that can't be ruled out; null of models that are not calibrated"
    )
    reason: str | None = Field(description="Why there is no label; null where there is one")
    notes: list[str] = Field(description="What is wrong with the file, though it could be read")
    heatmap: str | None = Field(
        description="How much each part of the photo supports the label: a PNG as a data URL, to "
        "be laid over it; null unless asked for"
    )


class Answer(BaseModel):
    """Predictions in the order in which the photos were sent."""

    model: ModelName
    predictions: list[PhotoAnswer]


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="A sentence, with the next step")


class Health(BaseModel):
    """How the service is."""

    status: str


class ServiceLimits(BaseModel):
    """What a client may ask for."""

    max_body_mb: float = Field(description="Of a request's body, in 10⁶ bytes")
    max_in_flight: int = Field(description="Photos that wait or are predicted at once")
    seconds: float = Field(description="That the prediction of a photo may take")


class ModelAnswer(ModelName):
    """What the model is, and what the service takes."""

    backbone: str
    crops: int = Field(description="Of each photo")
    input_px: int = Field(description="A side of a crop")
    temperature: float
    coverage: float | None = Field(description="Of the prediction sets, for each label")
    confidence: float | None = Field(description="That the prediction sets have this coverage")
    drawn: bool = Field(description="Whether it was trained on drawings only")
    trained_on: str = Field(description="SHA-256 over its training photos, or `ImageNet`")
    explains: bool = Field(description="Whether `explain` gives heat-maps")
    card: dict[str, Any] | None = Field(description="How far to trust it: figures and limits")
    limits: ServiceLimits


def model_name(classifier: Classifier) -> ModelName:
    """Return which model predicts."""
    about = classifier.description
    return ModelName(title=about.title, sha256=classifier.sha256, labels=list(about.labels))


def model_answer(classifier: Classifier, limits: Limits, *, explains: bool) -> ModelAnswer:
    """Return what the model is, whether it explains, and what the service takes."""
    about = classifier.description
    return ModelAnswer(
        **model_name(classifier).model_dump(),
        backbone=about.backbone,
        crops=classifier.crop_count,
        input_px=about.input_px,
        temperature=about.temperature,
        coverage=about.conformal and about.conformal.coverage,
        confidence=about.conformal and about.conformal.confidence,
        drawn=about.drawn,
        trained_on=about.trained_on,
        explains=explains,
        card=classifier.card,
        limits=ServiceLimits(
            max_body_mb=limits.max_body_mb,
            max_in_flight=limits.max_in_flight,
            seconds=limits.seconds,
        ),
    )


def photo_answer(prediction: Prediction) -> PhotoAnswer:
    """Return a prediction as it is answered."""
    return PhotoAnswer(
        name=prediction.path,
        label=prediction.label,
        probabilities=prediction.probabilities,
        prediction_set=prediction.prediction_set and [*prediction.prediction_set],
        reason=prediction.reason,
        notes=list(prediction.notes),
        heatmap=None if prediction.heatmap is None else _data_url(prediction.heatmap),
    )


def late_answer(name: str, seconds: float) -> PhotoAnswer:
    """Return the answer for a photo whose prediction takes too long."""
    reason = f"it takes longer than {seconds:g} s: send it again, alone"
    return photo_answer(Prediction(name, None, reason))


def _data_url(heatmap: np.ndarray) -> str:
    png = io.BytesIO()
    heat_image(heatmap).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
