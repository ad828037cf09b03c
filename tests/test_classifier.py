"""Saved models: what they predict, that engines agree, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import EXAMPLES
from PIL import Image
from safetensors.numpy import load_file, save_file

from pandacat.config.fields import CropScheme
from pandacat.core.errors import PandacatError
from pandacat.data.crops import crop_boxes, crop_count, cut_crops
from pandacat.data.images import shrink
from pandacat.evaluation.networks import predict_image
from pandacat.labels import label_groups
from pandacat.models.classifier import Classifier
from pandacat.models.loading import load_classifier
from pandacat.models.probabilities import (
    class_probabilities,
    label_log_probabilities,
    pool_crops,
    softmax,
)
from pandacat.models.saved import DESCRIPTION, WEIGHTS, SavedModel, load_model, save_model

LABEL_CLASSES = ((388,), (281, 282, 283, 284, 285))


@pytest.fixture
def model(workspace: Path, tmp_path: Path) -> Path:
    """A copy of the fine-tuned model, to be spoilt."""
    return Path(shutil.copytree(workspace / "models/fine-tuned", tmp_path / "model"))


def test_a_labels_probability_is_the_sum_over_its_imagenet_classes() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 1000))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    grouped = np.exp(label_log_probabilities(logits, LABEL_CLASSES))
    for index, classes in enumerate(map(list, LABEL_CLASSES)):
        np.testing.assert_allclose(grouped[:, index], probabilities[:, classes].sum(axis=1))
    np.testing.assert_allclose(grouped.sum(axis=1), 1)


def test_numpy_and_torch_group_alike() -> None:
    import torch

    from pandacat.models import pretrained

    logits = np.random.default_rng(0).normal(size=(4, 3, 1000)) * 5
    expected = pretrained.label_log_probabilities(torch.from_numpy(logits), LABEL_CLASSES)
    found = label_log_probabilities(logits, LABEL_CLASSES)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)


def test_the_odds_of_the_crops_are_averaged() -> None:
    crops = np.array([[0.9, 0.05, 0.05], [0.1, 0.1, 0.8]])
    odds = (crops / crops[:, 2:]).mean(axis=0)
    expected = odds / odds.sum()
    np.testing.assert_allclose(softmax(pool_crops(np.log(crops))), expected)


def test_one_confident_crop_outweighs_many_without_the_animal() -> None:
    confident, empty = [0.98, 0.01, 0.01], [0.01, 0.01, 0.98]
    pooled = softmax(pool_crops(np.log([confident] + [empty] * 11)))
    assert pooled.argmax() == 0


def test_a_single_crop_keeps_its_probabilities() -> None:
    crop = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(softmax(pool_crops(np.log(crop))), crop[0])


def test_the_classes_of_a_label_sum_to_its_probability_after_pooling_and_calibration() -> None:
    logits = np.random.default_rng(0).normal(size=(12, 1000)) * 4
    labels = softmax(pool_crops(label_log_probabilities(logits, LABEL_CLASSES)) / 2)
    classes = class_probabilities(logits, LABEL_CLASSES, labels)
    for label, rows in enumerate(label_groups(LABEL_CLASSES, 1000)):
        assert classes[rows].sum() == pytest.approx(labels[label])


def test_the_classes_of_a_single_crop_keep_their_probabilities() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 1000)) * 4
    labels = softmax(label_log_probabilities(logits, LABEL_CLASSES))[0]
    expected = softmax(logits)[0]
    np.testing.assert_allclose(class_probabilities(logits, LABEL_CLASSES, labels), expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_photo_without_probabilities_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier("pretrained", models=Path("nowhere"))
    monkeypatch.setattr(classifier, "features", lambda _: np.full((1, 1280), np.nan, np.float32))
    prediction = classifier.predict(EXAMPLES / "cat/kitten.jpg")
    assert prediction.probabilities is None
    assert "no probabilities" in str(prediction.reason)


def test_numpy_and_torch_pool_alike() -> None:
    import torch

    from pandacat.models import pretrained

    crops = np.random.default_rng(0).normal(size=(5, 4, 3))
    expected = pretrained.pool_crops(torch.from_numpy(crops)).numpy()
    np.testing.assert_allclose(pool_crops(crops), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ((0.9, 0.05, 0.05), ("panda",)),
        ((0.1, 0.55, 0.35), ("cat",)),
        ((0.5, 0.4, 0.1), ("panda", "cat")),
        ((0.2, 0.1, 0.7), ("other",)),
        ((0.02, 0.35, 0.63), ("cat", "other")),
        ((0.2, 0.38, 0.42), ("cat", "other")),
        ((0.44, 0.28, 0.28), ("panda",)),
    ],
)
def test_a_prediction_set_names_labels_that_reach_their_threshold_and_the_most_probable(
    model: Path, probabilities: tuple[float, ...], expected: tuple[str, ...]
) -> None:
    about = json.loads((model / "model.json").read_text())
    about["conformal"] = {"coverage": 0.95, "confidence": 0.9, "thresholds": [0.45, 0.3, 0.4]}
    (model / "model.json").write_text(json.dumps(about))
    assert load_classifier(str(model), models=model).prediction_set(probabilities) == expected


@pytest.mark.parametrize("name", ["pretrained", "scratch-photos"])
def test_the_fast_engine_agrees_with_pytorch_to_a_ten_thousandth(
    workspace: Path, name: str
) -> None:
    fast, plain = (
        load_classifier(name, models=workspace / "models", engine=engine)
        for engine in ("openvino", "torch")
    )
    for path in sorted(EXAMPLES.rglob("*.jpg"))[:4]:
        images = fast.cut(Image.open(path).convert("RGB"))
        np.testing.assert_allclose(fast.features(images), plain.features(images), atol=1e-4)


def test_a_crop_gives_the_same_features_alone_and_in_company(workspace: Path) -> None:
    classifier = load_classifier("pretrained", models=workspace / "models")
    images = cut_crops(Image.open(EXAMPLES / "cat/kitten.jpg").convert("RGB"), 224, "two_scales")
    together = classifier.features(images)
    alone = np.concatenate([classifier.features(image[None]) for image in images])
    np.testing.assert_array_equal(together, alone)


def test_classifiers_that_share_a_backbone_predict_the_same_as_each_alone(workspace: Path) -> None:
    names = ("pretrained", "fine-tuned", "scratch-photos")
    classifiers = {name: load_classifier(name, models=workspace / "models") for name in names}
    image = Image.open(EXAMPLES / "panda/giant_panda.jpg").convert("RGB")
    for name, together in zip(names, predict_image(classifiers, image), strict=True):
        (alone,) = predict_image({name: classifiers[name]}, image)
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (224, 224), (60, 32), (2000, 90)])
@pytest.mark.parametrize("kind", ["square", "center", "two_scales"])
def test_every_crop_lies_inside_the_photo(size: tuple[int, int], kind: CropScheme) -> None:
    boxes = crop_boxes(*size, kind)
    assert len(boxes) == crop_count(kind)
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0] + 1e-9
        assert 0 <= top < bottom <= size[1] + 1e-9


def test_the_first_of_two_scales_is_the_center() -> None:
    assert crop_boxes(400, 300, "two_scales")[0] == crop_boxes(400, 300, "center")[0]


def test_only_tiles_show_more_of_a_larger_photo() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (800, 1000, 3), np.uint8)
    photo = Image.fromarray(pixels)
    small = shrink(photo, 384)
    for kind in get_args(CropScheme):
        same = np.array_equal(cut_crops(photo, 32, kind), cut_crops(small, 32, kind))
        assert same == (kind != "tiles"), kind
    assert cut_crops(photo, 224, "tiles").std() > 2 * cut_crops(small, 224, "tiles").std()


def test_a_saved_model_comes_back_as_it_was(model: Path, tmp_path: Path) -> None:
    first = load_model(model)
    save_model(tmp_path / "again", first)
    second = load_model(tmp_path / "again")
    assert second == SavedModel(first.description, second.tensors, first.sha256)


def test_a_model_that_does_not_know_whether_it_saw_drawings_is_loaded(model: Path) -> None:
    about = json.loads((model / DESCRIPTION).read_text())
    assert about.pop("drawn")
    (model / DESCRIPTION).write_text(json.dumps(about))
    assert not load_model(model).description.drawn


def test_a_pickle_is_refused(model: Path) -> None:
    (model / WEIGHTS).write_bytes(b"\x80\x04\x95\x10\x00\x00\x00")
    with pytest.raises(PandacatError, match="can't be used"):
        load_model(model)


def test_a_weight_that_is_no_number_is_refused(model: Path) -> None:
    tensors = load_file(model / WEIGHTS)
    tensors["head.bias"][3] = np.nan
    save_file(tensors, model / WEIGHTS)
    with pytest.raises(PandacatError, match=r"head\.bias is not finite"):
        load_model(model)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("format", 99, "format 99"),
        ("conformal", {"coverage": 0.95, "thresholds": [0.5, 0.5]}, "confidence"),
        ("kind", "magic", "kind"),
        ("crops", "all", "crops"),
        ("input_px", "large", "input_px"),
        ("secret", 1, "secret"),
    ],
)
def test_a_description_that_is_not_ours_is_refused(
    model: Path, key: str, value: object, reason: str
) -> None:
    content = json.loads((model / DESCRIPTION).read_text()) | {key: value}
    (model / DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(PandacatError, match=reason):
        load_model(model)


def test_a_model_with_other_labels_is_refused(model: Path) -> None:
    content = json.loads((model / DESCRIPTION).read_text())
    content["labels"] = ["other", "cat", "panda"]
    (model / DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(PandacatError, match="choose another"):
        Classifier(load_model(model))


def test_weights_of_another_shape_are_refused(model: Path) -> None:
    tensors = load_file(model / WEIGHTS)
    tensors["backbone.body.conv_stem.weight"] = tensors["backbone.body.conv_stem.weight"][:4]
    save_file(tensors, model / WEIGHTS)
    with pytest.raises(PandacatError, match="do not fit"):
        Classifier(load_model(model), "torch").compiled()


def test_a_head_of_another_shape_is_refused(model: Path) -> None:
    tensors = load_file(model / WEIGHTS)
    tensors["head.weight"] = tensors["head.weight"][:, :7].copy()
    save_file(tensors, model / WEIGHTS)
    with pytest.raises(PandacatError, match="do not fit"):
        Classifier(load_model(model)).compiled()
