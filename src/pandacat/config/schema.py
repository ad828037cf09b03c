"""All of `params.yaml` as frozen dataclasses, checked before anything runs."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat
from pydantic.dataclasses import dataclass

from pandacat.config.fields import STRICT, Count, FolderName, LabelName, PlaceName, Seed
from pandacat.config.photos import LabelParams, PhotosParams, PreprocessParams, folded
from pandacat.config.training import FineTuneParams, PredictPretrainedParams, TrainScratchParams
from pandacat.labels import OTHER, LabelClasses


@dataclass(frozen=True, config=STRICT)
class AuditParams:
    """The search for shortcuts, near-duplicates and wrong labels."""

    label_issues_shown: Count
    seed: Seed


@dataclass(frozen=True, config=STRICT)
class EvaluateParams:
    """The evaluation of all networks."""

    field_test: PlaceName | None
    """Labeled photos from other sources: a zip or folder, with sub-folders named like those of the
    archive; never trained on."""
    mistakes_shown: Count
    seed: Seed


@dataclass(frozen=True, config=STRICT)
class ExportParams:
    """The files that run without PyTorch."""

    checked_photos: Count
    """Test photos for which exports are compared with PyTorch; all if there are fewer."""
    int8_photos: Annotated[int, Field(ge=1, le=10_000)]
    """Training photos by which the range of 8-bit integers is chosen; all if there are fewer."""


@dataclass(frozen=True, config=STRICT)
class RobustnessParams:
    """Predictions on corrupted test photos."""

    photos: Count
    """For each corruption and severity; all of the test split if it has fewer."""
    severities: Annotated[
        tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1, max_length=5)
    ]
    recompressed_photos: Count
    """Photos recompressed at the JPEG quality of the label that is compressed most; all if there
    are fewer."""
    seed: Seed

    def __post_init__(self) -> None:
        """Refuse severities out of order, whose curve would turn back."""
        if list(self.severities) != sorted(set(self.severities)):
            raise ValueError("severities must be in ascending order")


@dataclass(frozen=True, config=STRICT)
class GateRule:
    """How much some of the metrics in `metrics/headline.json` may regress."""

    better: Literal["higher", "lower"]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Change for the worse that still passes, in the metric's own unit."""
    floor: FiniteFloat | None = None
    ceiling: FiniteFloat | None = None


@dataclass(frozen=True, config=STRICT)
class Config:
    """All of `params.yaml`."""

    labels: Annotated[dict[LabelName, LabelParams], Field(min_length=1, max_length=50)]
    """The animals to recognize, in the order of all tables and probabilities."""
    other: tuple[FolderName, ...]
    """Names of the folders with photos of none of them."""
    photos: PhotosParams
    preprocess: PreprocessParams
    train_scratch: TrainScratchParams
    predict_pretrained: PredictPretrainedParams
    audit: AuditParams
    fine_tune: FineTuneParams
    evaluate: EvaluateParams
    robustness: RobustnessParams
    export: ExportParams
    gate: dict[str, GateRule]
    """By dotted name of a metric, with `*` for any text; the first that matches counts."""

    def __post_init__(self) -> None:
        """Refuse a folder or an ImageNet class of two labels."""
        names = [name for folders in self._folders().values() for name in {*map(folded, folders)}]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"labels, other: two labels share the folder {', '.join(twice)}")
        classes = [index for indices in self.label_classes for index in {*indices}]
        if shared := sorted({index for index in classes if classes.count(index) > 1}):
            raise ValueError(f"labels: two labels share an ImageNet class: {shared[0]}")

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
