"""Parameters of the photos: their labels and source, and how they are preprocessed."""

import unicodedata
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pandacat.config import fields
from pandacat.config.fields import STRICT
from pandacat.core.names import composed

LARGEST_MEGAPIXELS = 5_000
"""No JPEG has more: its sides are at most 65,535 pixels."""


def folded(folder: str) -> str:
    """Return the name of a folder as names are compared: accents composed, case folded.

    Windows and archivers may add dots and spaces at the end, or leave them out.
    """
    return composed(unicodedata.normalize("NFD", folder).casefold()).strip().rstrip(". ")


@dataclass(frozen=True, config=STRICT)
class LabelParams:
    """One of the animals to recognize."""

    folders: Annotated[tuple[fields.FolderName, ...], Field(min_length=1)]
    """Names of the folders whose photos get the label, compared as `folded`."""
    imagenet: fields.ImageNetClasses
    """Indices of the ImageNet classes that mean it, given by name or index; may be empty."""


@dataclass(frozen=True, config=STRICT)
class SampleParams:
    """The drawn data set."""

    photos_per_class: Annotated[int, Field(ge=1, le=100_000)]
    seed: fields.Seed


@dataclass(frozen=True, config=STRICT)
class KaggleParams:
    """The data set on Kaggle."""

    dataset: fields.DatasetName
    """`owner/name`, as in the address of its page."""


@dataclass(frozen=True, config=STRICT)
class PhotosParams:
    """Where the photos come from."""

    source: Literal["sample", "kaggle", "archive"]
    sample: SampleParams
    kaggle: KaggleParams
    archive: fields.PlaceName | None
    """A zip file or a folder, one sub-folder per class at any depth."""
    archive_encoding: fields.Encoding | None
    """Of names in a zip that are not marked as UTF-8; guessed if None."""

    def __post_init__(self) -> None:
        """Refuse the source `archive` without a path."""
        if self.source == "archive" and not self.archive:
            raise ValueError("source: archive needs photos.archive, the path of a zip or folder")


@dataclass(frozen=True, config=STRICT)
class ImageSpec:
    """How the bytes of a photo become pixels, in training and in prediction alike."""

    image_px: Annotated[int, Field(ge=64, le=4096)]
    """Shorter side after shrinking; smaller photos keep their size."""
    jpeg_quality: Annotated[int, Field(ge=50, le=100)]
    """At which every photo is recompressed, which removes the traces of its own file."""
    max_megapixels: Annotated[float, Field(gt=0, le=LARGEST_MEGAPIXELS)]
    """Photos that need more in memory are not read; large JPEGs are decoded at a fraction."""

    @property
    def image_spec(self) -> "ImageSpec":
        """These fields alone, as saved models hold them."""
        return ImageSpec(self.image_px, self.jpeg_quality, self.max_megapixels)


@dataclass(frozen=True, config=STRICT)
class PreprocessParams(ImageSpec):
    """How photos are verified, normalized and split."""

    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    """Photos whose 128-bit fingerprints differ in at most so many bits share a group."""
    split: Literal["random", "archive"]
    """At random by the shares below, or by the archive's own folders: train, val and test."""
    validation_share: fields.Share
    test_share: fields.Share
    min_photos_per_label: Annotated[int, Field(ge=5, le=1_000_000)]
    """The audit learns in five folds, each with photos of every label."""
    seed: fields.Seed

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        if self.validation_share + self.test_share > 0.9:
            raise ValueError("validation_share + test_share must leave at least 0.1 for training")
