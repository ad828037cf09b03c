"""Grad-CAM: where a photo supports a label."""

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from conftest import EXAMPLES
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from pandacat.config.fields import CropScheme
from pandacat.data.crops import crop_count, cut_crops
from pandacat.models.classifier import Classifier
from pandacat.models.engine import Engine, NoFeatureMapError, compile_backbone, spread
from pandacat.models.explanation import grad_cam, heat_image, heatmap, overlay
from pandacat.models.feature_maps import BackboneWithMap, with_feature_map
from pandacat.models.loading import load_classifier
from pandacat.models.pretrained import Backbone, restore

SIZE_PX = 32
LABEL_CLASSES = ((388,), (281, 282, 283, 284, 285))
PANDA, CAT, OTHER = range(3)


class BlueHere(nn.Module):
    """One map of how blue each place is, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.blue = nn.Conv2d(3, 1, 1, bias=False)
        self.blue.weight.data = torch.tensor([-1.0, -1.0, 1.0]).view(1, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.relu(self.blue(avg_pool2d(images, 4)))).flatten(1)


def scaled(body: nn.Module) -> Backbone:
    return Backbone(body, [0.0] * 3, [255.0] * 3)


def blue_corner() -> Image.Image:
    pixels = np.full((120, 200, 3), 128, np.uint8)
    pixels[60:, 100:] = (0, 0, 255)
    return Image.fromarray(pixels)


def heat_of(label: int, crops: CropScheme = "center", strength: float = 1.0) -> np.ndarray:
    """Return the heat of a network to which blue means panda."""
    mapped = with_feature_map(scaled(BlueHere()), SIZE_PX)
    image = blue_corner()
    images = torch.from_numpy(cut_crops(image, SIZE_PX, crops))
    features, maps = (values.detach().numpy() for values in mapped(images))
    weight = np.zeros((1000, 1), np.float32)
    weight[LABEL_CLASSES[PANDA][0]] = strength
    evidence = grad_cam(features @ weight.T, maps, weight, label, LABEL_CLASSES)
    return heatmap(image.size, evidence, crops)


@pytest.mark.parametrize("crops", ["square", "two_scales"])
@pytest.mark.parametrize("strength", [1.0, 5000.0])
def test_grad_cam_points_to_the_evidence_however_sure_the_network_is(crops, strength):
    heat = heat_of(PANDA, crops, strength)

    assert (heat.shape, heat.dtype) == ((120, 200), np.float32)
    assert (heat.min(), heat.max()) == (0, 1)
    assert heat[60:, 100:].max() == 1
    assert heat[60:, 100:].sum() > 0.8 * heat.sum()


def test_evidence_for_one_label_is_none_for_another():
    assert not heat_of(CAT).any()


@pytest.fixture(scope="module")
def pretrained() -> Classifier:
    return load_classifier("pretrained", models=Path("models"))


@pytest.mark.parametrize(
    ("photo", "crops", "label"),
    [
        ("panda/giant_panda.jpg", "center", PANDA),
        ("panda/giant_panda.jpg", "two_scales", PANDA),
        ("cat/kitten.jpg", "two_scales", PANDA),
        ("other/koala.jpg", "two_scales", OTHER),
    ],
)
def test_grad_cam_is_that_of_captum(pretrained, photo, crops, label):
    model = pretrained.model
    network = restore(model.description.backbone, model.tensors)
    image = Image.open(EXAMPLES / photo).convert("RGB")
    images = cut_crops(image, network.input_px, crops)
    mapped = with_feature_map(network.backbone, network.input_px)
    assert isinstance(mapped, BackboneWithMap)
    features, maps = (values.detach().numpy() for values in mapped(torch.from_numpy(images)))
    weight = model.tensors["head.weight"]
    logits = (features @ weight.T + model.tensors["head.bias"]).astype(np.float64)
    classes = model.description.label_classes
    ours = grad_cam(logits, maps, weight, label, classes)

    def log_odds(pixels: Tensor) -> Tensor:
        logs = label_log_probabilities_torch(network.head(network.backbone(pixels)), classes)
        pooled = (logs - logs[:, -1:]).logsumexp(dim=0)
        rivals = [index for index in range(len(pooled)) if index != label]
        return (pooled[label] - pooled[rivals].logsumexp(dim=0))[None]

    (layer,) = (layer for layer in network.backbone.modules() if layer._forward_hooks)
    pixels = torch.from_numpy(images).float().requires_grad_()
    theirs = LayerGradCam(log_odds, layer).attribute(pixels, relu_attributions=True)[:, 0]
    assert np.abs(ours - theirs.detach().numpy()).max() <= 1e-4 * max(1, theirs.max().item())


def label_log_probabilities_torch(logits, classes):
    logs = logits.log_softmax(dim=1)
    others = [
        row for row in range(logs.shape[1]) if row not in {i for rows in classes for i in rows}
    ]
    return torch.stack([logs[:, list(rows)].logsumexp(1) for rows in (*classes, others)], dim=1)


def test_a_prediction_is_the_same_with_and_without_its_explanation(pretrained):
    photo = EXAMPLES / "panda/giant_panda.jpg"
    explained = pretrained.predict_photo("panda", photo.read_bytes, explain=True)
    assert explained == pretrained.predict_photo("panda", photo.read_bytes)
    width, height = Image.open(photo).size
    assert explained.heatmap.shape[1] / explained.heatmap.shape[0] == pytest.approx(
        width / height, rel=0.01
    )
    (many,) = pretrained.predict_many([("panda", photo.read_bytes)], explain=True)
    assert np.array_equal(many.heatmap, explained.heatmap)


def test_a_heatmap_has_no_more_pixels_than_it_shows_and_covers_the_photo():
    photo, evidence = Image.new("RGB", (900, 600), "white"), np.zeros((12, 7, 7))
    evidence[1, :, :3] = 1  # of the whole photo: its left side
    heat = heatmap(photo.size, evidence, "two_scales")
    assert heat.shape == (160, 240)
    darkest = np.asarray(overlay(photo, heat)).min(axis=2)
    assert darkest.shape == (600, 900)
    assert darkest[150:450, 100:300].max() < 230 < darkest[:, 600:].min()


def test_an_unreadable_photo_has_a_reason_and_no_explanation(pretrained):
    prediction = pretrained.predict_photo("text", lambda: b"no photo", explain=True)
    assert prediction.reason
    assert prediction.heatmap is None


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_features_are_the_means_of_the_maps_in_every_engine(engine):
    compiled = compile_backbone(
        lambda: scaled(BlueHere()), SIZE_PX, f"blue-{engine}", name=engine, precision="float32"
    )
    images = cut_crops(blue_corner(), SIZE_PX, "two_scales")
    features, maps = compiled.run_with_maps(images)
    assert np.allclose(features, compiled.run(images), atol=1e-6)
    assert np.allclose(maps.mean(axis=(2, 3)), features, atol=1e-6)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_a_network_without_feature_maps_is_an_error_in_words(engine):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE_PX**2, 1))
    compiled = compile_backbone(
        lambda: scaled(flat), SIZE_PX, f"flat-{engine}", name=engine, precision="float32"
    )
    with pytest.raises(NoFeatureMapError, match="efficientnet_lite0"):
        compiled.run_with_maps(np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8))


def test_crops_spread_over_threads_have_the_results_of_one_call():
    def run(images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2))

    def run_with_maps(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return run(images), images.transpose(0, 3, 1, 2)

    images = cut_crops(blue_corner(), SIZE_PX, "two_scales")
    engine = Engine(run, 2, run_with_maps)
    assert np.array_equal(spread(engine).run(images), run(images))
    for ours, theirs in zip(
        spread(engine).run_with_maps(images), run_with_maps(images), strict=True
    ):
        assert np.array_equal(ours, theirs)
    assert len(images) == crop_count("two_scales")


def test_an_overlay_is_gray_where_nothing_supports_the_label():
    heat = np.zeros((120, 200), np.float32)
    heat[60:, 100:] = 1
    pixels = np.asarray(overlay(blue_corner(), heat)).astype(int)
    assert np.ptp(pixels[:60], axis=2).max() == 0
    assert np.ptp(pixels[60:, 100:], axis=2).min() > 50
    assert set(np.unique(np.asarray(heat_image(heat))[..., 3])) == {0, 178}
