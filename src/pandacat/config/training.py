"""Parameters of networks and their training."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass

from pandacat.config import fields
from pandacat.config.fields import STRICT


@dataclass(frozen=True, config=STRICT)
class AugmentParams:
    """Random augmentation of training images; 0 turns a transformation off."""

    rotation_degrees: Annotated[float, Field(ge=0, le=180)]
    """Largest rotation, either way."""
    scale: Annotated[tuple[fields.Scale, fields.Scale], fields.Ascending]
    """Enlarged by a factor between these two."""
    aspect: Annotated[float, Field(ge=0, le=1)]
    """Width against height, by a factor of up to 1 + aspect either way."""
    shear: Annotated[float, Field(ge=0, le=1)]
    """Sheared by up to this share of the side."""
    translate: Annotated[float, Field(ge=0, le=1)]
    """Moved by up to this share of the side, across and along."""
    elastic: Annotated[float, Field(ge=0, le=1)]
    """Elastic distortion: how far points of a 5×5 grid typically move, as a share of the side."""
    flip: bool
    """Mirrors half of the images."""
    color: Annotated[float, Field(ge=0, lt=1)]
    """Brightness, contrast and saturation changed by up to this share each."""
    random_erasing: Annotated[float, Field(ge=0, le=1)]
    """A gray rectangle with sides of up to this share of the image's."""


@dataclass(frozen=True, config=STRICT)
class ScratchParams:
    """The network that is trained from scratch, and its training."""

    input_px: Annotated[int, Field(ge=16, le=512)]
    channels: Annotated[tuple[fields.Channels, ...], Field(min_length=1)]
    """Feature maps that each stage makes; every stage halves the sides."""
    depths: Annotated[tuple[fields.Depth, ...], Field(min_length=1)]
    """Convolutions in each stage."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of the features blanked at random while training."""
    epochs: fields.Count
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)]
    learning_rate: fields.LearningRate
    """The peak, reached after a warm-up; it then decays to 0."""
    warm_up_share: fields.Share
    """Of all steps."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1000)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    patience: fields.Count | None
    """Stop after so many epochs without a lower validation loss; `None`: never."""
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    memory_format: Literal["auto", "channels_last", "contiguous"]
    augment: AugmentParams
    mixup: Annotated[float, Field(ge=0, le=0.5)]
    """Up to this share of another image and of its label is blended into each."""
    seed: fields.Seed

    def __post_init__(self) -> None:
        """Refuse stages that don't match, or that leave no pixels."""
        if len(self.channels) != len(self.depths):
            raise ValueError("channels and depths need one number for each stage")
        if self.input_px < 2 ** len(self.channels):
            raise ValueError("input_px is too small for so many stages: each one halves it")


@dataclass(frozen=True, config=STRICT)
class TrainScratchParams:
    """One `ScratchParams` for each data set."""

    mnist: ScratchParams
    photos: ScratchParams


@dataclass(frozen=True, config=STRICT)
class AugmentedCopiesParams:
    """Augmented copies of each training photo, whose features are computed once."""

    count: Annotated[int, Field(ge=0, le=64)]
    """Of each training photo, in addition to its center crop."""
    area: Annotated[tuple[fields.Area, fields.Area], fields.Ascending]
    """Share of the photo's area that is cropped."""
    aspect: Annotated[float, Field(ge=0, le=2)]
    """Width against height, by a factor of up to exp(aspect) either way."""
    coarseness: Annotated[float, Field(ge=1, le=64)]
    """Downsampled by a factor of up to this, and enlarged again."""
    flip: Annotated[float, Field(ge=0, le=1)]
    """Probability that a copy is mirrored."""
    brightness: Annotated[float, Field(ge=0, le=3)]
    """By a factor of up to exp(brightness) either way."""
    contrast: Annotated[float, Field(ge=0, le=3)]
    """By a factor of up to exp(contrast) either way."""
    saturation: Annotated[tuple[fields.Factor, fields.Factor], fields.Ascending]
    jpeg_quality: Annotated[tuple[fields.JpegQuality, fields.JpegQuality], fields.Ascending]
    """Recompressed at a quality between these two."""


@dataclass(frozen=True, config=STRICT)
class PredictPretrainedParams:
    """The pretrained ImageNet network, and the features that later stages use."""

    backbone: str
    """`efficientnet_lite0`, 1 or 2, `timm/NAME` or `torchvision/NAME`."""
    engine: Literal["auto", "openvino", "torch"]
    precision: fields.Precision
    """In which the frozen backbone calculates, in all stages and in `pandacat predict`."""
    crops: Literal["center", "two_scales"]
    """Crops of each photo for the fine-tuned network; the pretrained one takes the center."""
    augmented_copies: AugmentedCopiesParams
    seed: fields.Seed


@dataclass(frozen=True, config=STRICT)
class TilingParams:
    """A second look, in tiles, at photos of `other` that show no other animal."""

    other_animals: Annotated[float, Field(ge=0, le=1)]
    """Where other animals are as probable as this in the first look, there is no second."""
    similarity: Annotated[float, Field(ge=0, le=100)]
    """How many times as much as in the first look that to training photos counts in tiles."""


class CalibrationSettings(NamedTuple):
    """What is fitted on the validation split after training; see `FineTuneParams`."""

    neighbors: int
    label_recall: float
    tiling: TilingParams
    coverage: float
    coverage_confidence: float


@dataclass(frozen=True, config=STRICT)
class FineTuneParams:
    """Fine-tuning of the pretrained network."""

    strategy: Literal["head", "last_stages", "everything"]
    trained_stages: fields.Count
    """With `last_stages`: how many of the backbone's are trained."""
    l2_sp: Annotated[float, Field(ge=0, le=1e6)]
    """Strength of the penalty on the squared distance from the pretrained weights (L2-SP)."""
    seen_class_scale: Annotated[float, Field(ge=1, le=1e6)]
    """With `head`: how many times farther the ImageNet classes move that appear among `other`."""
    seen_class_photos: fields.Count
    """In how many photos of `other` a class must appear for that."""
    steps: fields.Count
    """Optimizer steps, rounded to whole epochs."""
    batch_size: fields.Count
    learning_rate: fields.LearningRate
    warm_up_share: Annotated[float, Field(ge=0, lt=1)]
    patience: fields.Count | None
    interpolation: Annotated[float, Field(gt=0, le=1)]
    """How far the weights go from the pretrained ones to those of the best epoch (WiSE-FT)."""
    precision: Literal["auto", "float32", "bfloat16"]
    augment: AugmentParams
    """Of images; features of augmented copies come from `predict_pretrained`."""
    neighbors: Annotated[int, Field(ge=0, le=1000)]
    """The similarity to so many training photos counts against `other`; 0: none."""
    neighbor_photos: fields.Count
    """How many training photos are kept for that, at most."""
    label_recall: Annotated[float, Field(gt=0, lt=1)]
    """Share of the in-distribution validation photos that are not to be called `other`."""
    tiling: TilingParams
    coverage: Annotated[float, Field(gt=0, lt=1)]
    """Share of each label's photos whose prediction set is to contain the label, at least."""
    coverage_confidence: Annotated[float, Field(gt=0, lt=1)]
    """With which that is to be so, over the draw of the validation photos."""
    seed: fields.Seed

    @property
    def calibration(self) -> CalibrationSettings:
        """Those that calibration needs."""
        return CalibrationSettings(
            self.neighbors,
            self.label_recall,
            self.tiling,
            self.coverage,
            self.coverage_confidence,
        )

    @property
    def effective(self) -> dict[str, Any]:
        """The parameters that the strategy uses, by name."""
        unused = {
            "head": {"trained_stages", "augment"},
            "last_stages": {"seen_class_scale", "seen_class_photos"},
            "everything": {"seen_class_scale", "seen_class_photos", "trained_stages"},
        }[self.strategy]
        return {name: value for name, value in asdict(self).items() if name not in unused}
