"""Types of the values in `params.yaml`, with the ranges that are allowed."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from pandacat.core.names import text_encoding
from pandacat.labels import OTHER, imagenet_classes

STRICT = ConfigDict(extra="forbid", strict=True)
"""For dataclasses: no unknown keys, and no text where a number belongs."""


def _unreserved(label: str) -> str:
    if label in (OTHER, "all"):
        raise ValueError(f"{label} is reserved and can't name an animal")
    return label


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("needs the smaller number first")
    return bounds


def _owner_and_name(dataset: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
        raise ValueError("needs owner/name, the last two parts of the address of its page")
    return dataset


Ascending = AfterValidator(_ascending)
"""Of a range: the smaller number comes first."""

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
PlaceName = Annotated[str, Field(min_length=1)]
FolderName = Annotated[str, Field(pattern=r"^[^/\\]+$")]
Encoding = Annotated[str, AfterValidator(text_encoding)]
LabelName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$"), AfterValidator(_unreserved)]
ImageNetClasses = Annotated[tuple[int, ...], BeforeValidator(imagenet_classes)]
DatasetName = Annotated[str, AfterValidator(_owner_and_name)]
LearningRate = Annotated[float, Field(gt=0, le=1000)]
Channels = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=100)]
Area = Annotated[float, Field(gt=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=10)]
Scale = Annotated[float, Field(ge=0.01, le=100)]
Precision = Literal["float32", "bfloat16", "float16"]
CropScheme = Literal["square", "center", "two_scales", "tiles"]
"""Which crops of a photo a network takes; see `data.crops`."""
JpegQuality = Annotated[int, Field(ge=1, le=100)]
