"""The project's own network, how its training pictures are changed, and its stage."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bar_pictures import UNCHANGED, bar_data, scratch_params
from conftest import ROOT
from ruamel.yaml import YAML
from torch import Tensor
from torch.nn.functional import cross_entropy

from pandacat.config.loading import load_config
from pandacat.config.training import AugmentParams, TrainScratchParams
from pandacat.core.errors import PandacatError
from pandacat.data import augment
from pandacat.models import scratch
from pandacat.models.pretrained import Backbone
from pandacat.models.saved import load_model, save_model
from pandacat.models.scratch import ScratchSpec
from pandacat.tracking.delivery import read_journal
from pandacat.training.batches import generator_for
from pandacat.training.scratch import scratch_accuracy, scratch_model, train_scratch
from stages import train_scratch_mnist

SPEC = ScratchSpec(image_channels=3, input_px=16, channels=(4, 6), depths=(2, 1), classes=3)


def pictures(count: int = 4, input_px: int = 16) -> Tensor:
    """Return smooth color pictures (count, 3, input_px, input_px) in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, input_px, mode="bilinear", align_corners=True)


def test_each_stage_halves_the_sides() -> None:
    maps = scratch.build(SPEC, seed=1).stage_maps(pictures())
    assert [tuple(of_stage.shape) for of_stage in maps] == [(4, 4, 8, 8), (4, 6, 4, 4)]
    assert all((of_stage >= 0).all() for of_stage in maps)


def test_the_maps_of_the_last_stage_lead_to_the_logits() -> None:
    network = scratch.build(SPEC, seed=1).eval()
    logits = network(pictures())
    assert logits.shape == (4, 3)
    features = network.stage_maps(pictures())[-1].mean(dim=(2, 3))
    torch.testing.assert_close(network.head(features), logits)


def test_backpropagation_agrees_with_what_a_small_step_does() -> None:
    network = scratch.build(SPEC, seed=1).double()
    images, classes = pictures().double(), torch.tensor([0, 1, 2, 0])

    def loss() -> Tensor:
        return cross_entropy(network(images), classes)

    loss().backward()
    step = 1e-6
    for weights in network.parameters():
        steepest = torch.unravel_index(weights.grad.abs().argmax(), weights.shape)
        with torch.no_grad():
            weights[steepest] += step
            higher = loss().item()
            weights[steepest] -= 2 * step
            lower = loss().item()
            weights[steepest] += step
        slope = (higher - lower) / (2 * step)
        assert weights.grad[steepest].item() == pytest.approx(slope, rel=1e-3)


def test_the_network_normalizes_by_its_training_pictures() -> None:
    images = (pictures(50) * 255).byte()
    network = scratch.build(SPEC, seed=1)
    network.normalization.measure(images)
    normalized = network.normalization(images.float() / 255)
    assert normalized.mean(dim=(0, 2, 3)) == pytest.approx(torch.zeros(3), abs=1e-4)
    assert normalized.std(dim=(0, 2, 3)) == pytest.approx(torch.ones(3), abs=1e-3)


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = scratch.build(SPEC, seed=1)
    assert torch.rand(1) == expected, "the global generator was touched"
    again, other = scratch.build(SPEC, seed=1), scratch.build(SPEC, seed=2)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)


def test_multiply_adds_are_those_of_the_convolutions_and_the_head() -> None:
    convolutions = 256 * 9 * 3 * 4 + 64 * 9 * 4 * 4 + 16 * 9 * 4 * 6
    assert scratch.multiply_adds(scratch.build(SPEC, seed=1)) == convolutions + 6 * 3


def test_a_saved_network_comes_back_with_the_same_logits(tmp_path: Path) -> None:
    data = bar_data()
    network, _ = train_scratch(data, scratch_params(epochs=1))
    save_model(tmp_path / "model", scratch_model(network, data, image=None))
    model = load_model(tmp_path / "model")
    restored = scratch.restore(model.description.architecture, model.tensors)
    images = data.test.inputs
    assert torch.equal(restored(images / 255), network(images / 255))


def test_the_backbone_takes_photos_as_bytes() -> None:
    network = scratch.build(SPEC, seed=1).eval()
    images = (pictures() * 255).byte()
    backbone = Backbone(network, mean=[0.0] * 3, std=[255.0] * 3)
    logits = backbone(images.permute(0, 2, 3, 1))
    assert torch.allclose(logits, network(images.float() / 255), atol=1e-6)


@pytest.mark.parametrize("fault", ["missing weights", "other shape", "no shape"])
def test_weights_of_something_else_are_refused(fault: str) -> None:
    network = scratch.build(SPEC, seed=1)
    tensors = {f"backbone.{name}": value.numpy() for name, value in network.state_dict().items()}
    shape = {"channels": (4, 6)}
    if fault != "no shape":
        shape = {**vars(SPEC)}
    if fault == "missing weights":
        del tensors["backbone.head.weight"]
    if fault == "other shape":
        shape["channels"] = (4, 7)
    with pytest.raises(PandacatError, match="not the weights of a scratch network"):
        scratch.restore(shape, tensors)


def augmented(images: torch.Tensor, params: AugmentParams, *, seed: int = 0) -> torch.Tensor:
    draws = augment.draw_augmentations(len(images), params, generator_for("test", seed))
    return augment.augmented(images, draws, params)


def test_nothing_changes_where_nothing_is_asked_for() -> None:
    changed = augmented(pictures(), UNCHANGED)
    assert torch.allclose(changed, pictures(), atol=1e-5)


def test_a_zoom_of_two_shows_the_middle() -> None:
    how = AugmentParams(**{**vars(UNCHANGED), "scale": (2.0, 2.0)})
    images = pictures(input_px=64)
    zoomed = augmented(images, how)
    middle = torch.nn.functional.interpolate(
        images[:, :, 16:48, 16:48], 64, mode="bilinear", align_corners=False
    )
    assert (zoomed - middle)[:, :, 4:-4, 4:-4].abs().max() < 0.02


def test_flipping_mirrors_about_every_other_picture() -> None:
    how = AugmentParams(**{**vars(UNCHANGED), "flip": True})
    images = pictures(60)
    changed = augmented(images, how)
    mirrored = [
        torch.allclose(new, old.flip(2), atol=1e-5)
        for new, old in zip(changed, images, strict=True)
    ]
    same = [torch.allclose(new, old, atol=1e-5) for new, old in zip(changed, images, strict=True)]
    assert sum(mirrored) + sum(same) == 60
    assert 15 < sum(mirrored) < 45


def test_changed_pictures_keep_their_shape_and_range_and_follow_the_generator() -> None:
    how = AugmentParams(10.0, (0.8, 1.4), 0.2, 0.2, 0.1, 0.05, True, 0.4, 0.5)
    one, same, other = (augmented(pictures(8), how, seed=seed) for seed in (1, 1, 2))
    assert one.shape == (8, 3, 16, 16)
    assert one.dtype == torch.float32
    assert one.min() >= 0
    assert one.max() <= 1
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_mixing_blends_pictures_and_targets_by_the_same_share() -> None:
    targets = torch.eye(4)
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 2, 2)
    drawn = augment.draw_mixup(4, 0.4, generator_for("test"))
    blended, shares = augment.mixup(images, targets, drawn)
    assert torch.allclose(blended[:, 0, 0, 0], shares @ torch.arange(4.0))
    assert shares.sum(dim=1) == pytest.approx(torch.ones(4))
    assert 0.6 <= shares.diagonal().min() < shares.diagonal().max() <= 1


def test_training_the_network_tells_lying_bars_from_standing_ones() -> None:
    data = bar_data()
    network, history = train_scratch(data, scratch_params())
    assert data.test
    assert scratch_accuracy(network, data.test)["accuracy"] > 0.95
    assert [record.epoch for record in history.epochs] == [1, 2, 3, 4]


def test_two_trainings_give_the_same_bits_with_all_that_is_random_on() -> None:
    how = AugmentParams(10.0, (0.9, 1.1), 0.1, 0.1, 0.1, 0.02, False, 0.2, 0.3)
    settings = scratch_params(epochs=2, augment=how, mixup=0.4, precision="bfloat16")
    one, two = (train_scratch(bar_data(), settings)[0] for _ in range(2))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name])


def test_the_order_of_memory_changes_nothing_but_the_last_bits() -> None:
    one, two = (
        train_scratch(bar_data(), scratch_params(epochs=1, memory_format=order))[0]
        for order in ("channels_last", "contiguous")
    )
    last, first = (
        network.get_parameter("stages.1.halve.patterns.weight") for network in (one, two)
    )
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert first.is_contiguous()
    assert torch.allclose(last, first, atol=1e-4)


def test_the_stage_writes_the_network_its_metrics_and_its_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDACAT_TRACKING", "later")
    monkeypatch.setattr(train_scratch_mnist, "mnist_dataset", lambda folder: bar_data())
    settings = load_config()
    quick = replace(settings, train_scratch=TrainScratchParams(scratch_params(), scratch_params()))
    monkeypatch.setattr(train_scratch_mnist, "load_config", lambda: quick)
    monkeypatch.chdir(tmp_path)

    train_scratch_mnist.main()

    assert load_model(Path("models/scratch-mnist")).description.labels == ("lies", "stands")
    metrics = json.loads(Path("metrics/train_scratch_mnist.json").read_text())
    assert metrics["test"]["low"] < metrics["test"]["accuracy"] <= metrics["test"]["high"]
    assert metrics["epochs"] == 4
    assert len(Path("plots/train_scratch_mnist.csv").read_text().splitlines()) == 5
    assert not list(Path(".pandacat/checkpoints").iterdir())
    (journal,) = Path(".pandacat/tracking").iterdir()
    curves = [record.metrics for record in read_journal(journal)[0] if record.step]
    names = {"train_loss", "validation_loss", "validation_accuracy", "learning_rate"}
    assert [set(metrics) for metrics in curves] == [names] * 4


def test_the_digits_depend_neither_on_photo_code_nor_on_photo_params() -> None:
    stage = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["train_scratch_mnist"]
    assert stage["params"] == ["train_scratch.mnist"]
    code = {dep for dep in stage["deps"] if dep.startswith("src/")}
    photo_code = ("crops", "images", "store", "splits", "preprocess", "features")
    assert not {f"src/pandacat/data/{module}.py" for module in photo_code} & code
    assert "src/pandacat/labels.py" not in code
    assert [dep for dep in stage["deps"] if dep.startswith("data/")] == ["data/mnist"]
