"""`params.yaml` as frozen dataclasses, checked whole before anything runs."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
)
from pydantic.dataclasses import dataclass

from pandacat.labels import OTHER, LabelClasses, imagenet_classes


def _unreserved(label: str) -> str:
    if label in (OTHER, "all"):
        raise ValueError(f"{label} has a meaning of its own and can't name an animal")
    return label


def rising(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return a range as it is; refuse one from high to low."""
    if bounds[0] > bounds[1]:
        raise ValueError("needs the smaller number first")
    return bounds


Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
PlaceName = Annotated[str, Field(min_length=1)]
FolderName = Annotated[str, Field(pattern=r"^[^/\\]+$")]
LabelName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$"), AfterValidator(_unreserved)]
LearningRate = Annotated[float, Field(gt=0, le=1000)]
Channels = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=100)]
Scale = Annotated[float, Field(ge=0.01, le=100)]
Area = Annotated[float, Field(gt=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=10)]
JpegQuality = Annotated[int, Field(ge=1, le=100)]
Range = Annotated[tuple[Scale, Scale], AfterValidator(rising)]
ImageNetClasses = Annotated[tuple[int, ...], BeforeValidator(imagenet_classes)]


def _owner_and_name(dataset: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
        raise ValueError("needs owner/name, the last two parts of the address of its page")
    return dataset


_checked = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=_checked)
class SampleParams:
    """The drawn data set."""

    photos_per_class: Annotated[int, Field(ge=1, le=100_000)]
    seed: Seed


@dataclass(frozen=True, config=_checked)
class KaggleParams:
    """The data set on Kaggle."""

    dataset: Annotated[str, AfterValidator(_owner_and_name)]
    """`owner/name`, as in the address of its page."""


def folded(folder: str) -> str:
    """Return the name of a folder as names are compared: in lower case, accents composed."""
    return unicodedata.normalize("NFC", folder.lower())


@dataclass(frozen=True, config=_checked)
class LabelParams:
    """One of the animals that are told apart."""

    folders: Annotated[tuple[FolderName, ...], Field(min_length=1)]
    """Names of the folders whose photos get the label, compared as `folded`."""
    imagenet: ImageNetClasses
    """Indices of the ImageNet classes that mean it, given by name or index; may be empty."""


@dataclass(frozen=True, config=_checked)
class PhotosParams:
    """Which photos."""

    source: Literal["sample", "kaggle", "archive"]
    sample: SampleParams
    kaggle: KaggleParams
    archive: PlaceName | None
    """A zip file or a folder, one sub-folder per class at any depth."""

    def __post_init__(self) -> None:
        """Refuse a source without its place."""
        if self.source == "archive" and not self.archive:
            raise ValueError("source archive needs photos.archive, the path to a zip or a folder")


@dataclass(frozen=True, config=_checked)
class ImageSpec:
    """How the bytes of a photo become the pixels that networks see, in training and ever after."""

    image_px: Annotated[int, Field(ge=64, le=4096)]
    """Shorter side after shrinking; smaller photos keep their size."""
    jpeg_quality: Annotated[int, Field(ge=50, le=100)]
    """At which every photo is recompressed, so that none keeps the traces of its own file."""
    max_megapixels: Annotated[float, Field(gt=0, le=178)]
    """Larger photos are not read; Pillow refuses more than 178 million pixels anyway."""

    @property
    def image_spec(self) -> "ImageSpec":
        """These fields alone, as a saved model keeps them."""
        return ImageSpec(self.image_px, self.jpeg_quality, self.max_megapixels)


@dataclass(frozen=True, config=_checked)
class PreprocessParams(ImageSpec):
    """From files as they came to verified, normalized, split photos."""

    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    """Photos whose 128-bit fingerprints differ in at most so many bits share a group."""
    validation_share: Share
    test_share: Share
    min_photos_per_label: Annotated[int, Field(ge=5, le=1_000_000)]
    """The audit learns in five folds, each with photos of every label."""
    seed: Seed

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        if self.validation_share + self.test_share > 0.9:
            raise ValueError("validation_share + test_share must leave at least 0.1 for training")


@dataclass(frozen=True, config=_checked)
class AugmentParams:
    """How far training pictures are changed at random; 0 leaves a change out."""

    rotation_degrees: Annotated[float, Field(ge=0, le=180)]
    """Turned by up to so much either way."""
    scale: Range
    """Enlarged by a factor between these two; 1 is as it is."""
    aspect: Annotated[float, Field(ge=0, le=1)]
    """Width against height, by a factor of up to 1 + aspect either way."""
    shear: Annotated[float, Field(ge=0, le=1)]
    """Slanted by up to this share of the side."""
    translate: Annotated[float, Field(ge=0, le=1)]
    """Moved by up to this share of the side, across and along."""
    elastic: Annotated[float, Field(ge=0, le=1)]
    """Bent: how far the points of a 5×5 grid typically move, as a share of the side."""
    flip: bool
    """Every other picture mirrored."""
    color: Annotated[float, Field(ge=0, lt=1)]
    """Brightness, contrast and saturation changed by up to this share each."""
    random_erasing: Annotated[float, Field(ge=0, le=1)]
    """A gray rectangle over it, with sides of up to this share of the picture's."""


@dataclass(frozen=True, config=_checked)
class ScratchParams:
    """The project's own network, and how it is trained."""

    input_px: Annotated[int, Field(ge=16, le=512)]
    channels: Annotated[tuple[Channels, ...], Field(min_length=1)]
    """Feature maps that each stage makes; every stage halves the sides."""
    depths: Annotated[tuple[Depth, ...], Field(min_length=1)]
    """Convolutions in each stage."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of the features blanked at random while training."""
    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)]
    learning_rate: LearningRate
    """The highest; it warms up to it, then falls to 0."""
    warm_up_share: Share
    """Of all steps."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1000)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    patience: Count | None
    """Stop after so many epochs without a lower validation loss."""
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    memory_format: Literal["auto", "channels_last", "contiguous"]
    pin_memory: bool
    """Whether a GPU fetches the next batch while the processor goes on."""
    augment: AugmentParams
    mixup: Annotated[float, Field(ge=0, le=0.5)]
    """Up to this share of another picture is blended into each, and as much of its label."""
    seed: Seed

    def __post_init__(self) -> None:
        """Refuse stages that don't match, or that leave no pixel."""
        if len(self.channels) != len(self.depths):
            raise ValueError("channels and depths need one number for each stage")
        if self.input_px < 2 ** len(self.channels):
            raise ValueError("input_px is too small for so many stages: each one halves it")


@dataclass(frozen=True, config=_checked)
class TrainScratchParams:
    """One `ScratchParams` for each data set."""

    mnist: ScratchParams
    photos: ScratchParams


@dataclass(frozen=True, config=_checked)
class AugmentedCopiesParams:
    """Copies of each training photo as it might also have come, whose features are kept."""

    count: Annotated[int, Field(ge=0, le=64)]
    """Of each training photo, besides its center."""
    area: Annotated[tuple[Area, Area], AfterValidator(rising)]
    """Share of the photo's area that is cut out."""
    aspect: Annotated[float, Field(ge=0, le=2)]
    """Width against height, by a factor of up to exp(aspect) either way."""
    coarseness: Annotated[float, Field(ge=1, le=64)]
    """Reduced to a resolution up to so many times lower, and enlarged again."""
    flip: Annotated[float, Field(ge=0, le=1)]
    """Share of the copies that are mirrored."""
    brightness: Annotated[float, Field(ge=0, le=3)]
    """By a factor of up to exp(brightness) either way."""
    contrast: Annotated[float, Field(ge=0, le=3)]
    """By a factor of up to exp(contrast) either way."""
    saturation: Annotated[tuple[Factor, Factor], AfterValidator(rising)]
    jpeg_quality: Annotated[tuple[JpegQuality, JpegQuality], AfterValidator(rising)]
    """Recompressed at a quality between these two."""


@dataclass(frozen=True, config=_checked)
class PredictPretrainedParams:
    """The ImageNet network as it is, and the features it gives the next stages."""

    backbone: str
    """`efficientnet_lite0`, `timm/NAME` or `torchvision/NAME`."""
    engine: Literal["auto", "openvino", "torch"]
    crops: Literal["center", "two_scales"]
    """What the fine-tuned network sees of each photo; the untouched network sees the center."""
    augmented_copies: AugmentedCopiesParams
    seed: Seed


@dataclass(frozen=True, config=_checked)
class GateRule:
    """How far some of the figures in `metrics/headline.json` may get worse."""

    metric: str
    """Dotted name, in which `*` stands for any text."""
    better: Literal["higher", "lower"]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Change for the worse that is let pass, in the figure's own unit."""
    floor: FiniteFloat | None = None
    ceiling: FiniteFloat | None = None


@dataclass(frozen=True, config=_checked)
class AuditParams:
    """The search for shortcuts, copies and wrong labels."""

    label_issues_shown: Count
    seed: Seed


@dataclass(frozen=True, config=_checked)
class FineTuneParams:
    """Adapting the pretrained network."""

    strategy: Literal["head", "last_stages", "everything"]
    trained_stages: Count
    """With `last_stages`: how many of the backbone's are trained."""
    l2_sp: Annotated[float, Field(ge=0, le=1e6)]
    """Pull towards the pretrained weights."""
    seen_class_scale: Annotated[float, Field(ge=1, le=1e6)]
    """With `head`: how many times as far the classes of other animals that are shown may move."""
    steps: Count
    """Batches to learn from, rounded to whole epochs: few photos are seen more often."""
    batch_size: Count
    learning_rate: LearningRate
    warm_up_share: Annotated[float, Field(ge=0, lt=1)]
    patience: Count | None
    precision: Literal["auto", "float32", "bfloat16"]
    augment: AugmentParams
    """Of pictures; features of augmented copies come from `predict_pretrained`."""
    coverage: Annotated[float, Field(gt=0, lt=1)]
    """Which share of pandas, and of cats, is to be named when several labels may be."""
    seed: Seed


@dataclass(frozen=True, config=_checked)
class EvaluateParams:
    """How the networks are measured."""

    field_test: PlaceName | None
    """Labeled photos from other sources: a zip or folder, its sub-folders named as those of the
    archive; never trained on."""
    mistakes_shown: Count
    seed: Seed


@dataclass(frozen=True, config=_checked)
class RobustnessParams:
    """How much of the test split is made worse on purpose."""

    photos: Count
    """For each corruption and severity; all where there are fewer."""
    severities: Annotated[
        tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1, max_length=5)
    ]
    recompressed_photos: Count
    """How many are saved again at the JPEG quality of another label; all where there are fewer."""
    seed: Seed

    def __post_init__(self) -> None:
        """Refuse severities out of order, which would be drawn as a curve that turns back."""
        if list(self.severities) != sorted(set(self.severities)):
            raise ValueError("severities must rise")


@dataclass(frozen=True, config=_checked)
class Config:
    """All of `params.yaml`."""

    labels: Annotated[dict[LabelName, LabelParams], Field(min_length=1, max_length=50)]
    """The animals that are told apart, in the order of all tables and probabilities."""
    other: tuple[FolderName, ...]
    """Names of the folders of what is none of them."""
    photos: PhotosParams
    preprocess: PreprocessParams
    train_scratch: TrainScratchParams
    predict_pretrained: PredictPretrainedParams
    audit: AuditParams
    fine_tune: FineTuneParams
    evaluate: EvaluateParams
    robustness: RobustnessParams
    gate: tuple[GateRule, ...]
    """The first rule that matches a figure counts."""

    def __post_init__(self) -> None:
        """Refuse a folder name or an ImageNet class with two labels."""
        names = [name for folders in self._folders().values() for name in {*map(folded, folders)}]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"a folder name has two labels: {', '.join(twice)}")
        classes = [index for indices in self.label_classes for index in {*indices}]
        if shared := sorted({index for index in classes if classes.count(index) > 1}):
            raise ValueError(f"an ImageNet class has two labels: {', '.join(map(str, shared))}")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The in-distribution labels in order, and `other` last."""
        return (*self.labels, OTHER)

    @property
    def label_classes(self) -> LabelClasses:
        """For each in-distribution label, the indices of the ImageNet classes that mean it."""
        return tuple(label.imagenet for label in self.labels.values())

    @property
    def label_of_folder(self) -> dict[str, str]:
        """The label of each folder name, `folded`."""
        return {
            folded(name): label for label, folders in self._folders().items() for name in folders
        }

    def _folders(self) -> dict[str, tuple[str, ...]]:
        return {name: label.folders for name, label in self.labels.items()} | {OTHER: self.other}
