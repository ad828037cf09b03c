"""The training loop: the same bits every time, nothing lost when it is interrupted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pandacat.core.errors import PandacatError
from pandacat.training.batches import (
    Batch,
    Dataset,
    Examples,
    generator_for,
    shuffled_batches,
)
from pandacat.training.checkpoint import Checkpoint, checkpoint_key
from pandacat.training.device import Device, pick_device
from pandacat.training.loop import EpochRecord, FitSettings, History, fit, warm_up_then_cosine


def points(count: int = 120) -> Examples:
    """Points of the plane; the class says on which side of a circle they lie."""
    places = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    return Examples(places, (places.norm(dim=1) > 1.2).long())


def nothing_drawn(count: int) -> Tensor:
    return torch.empty(count, 0)


def small_network(*, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2)
    )


def measured(network: nn.Module) -> dict[str, float]:
    examples = points(60)
    logits = network(examples.inputs)
    return {
        "validation_loss": cross_entropy(logits, examples.classes).item(),
        "validation_accuracy": (logits.argmax(1) == examples.classes).double().mean().item(),
    }


class CircleTask:
    """Learn on which side of a circle points lie."""

    def __init__(
        self,
        network: nn.Module,
        *,
        learning_rate: float = 0.1,
        seed: int = 7,
        validate: Callable[[nn.Module], dict[str, float]] = measured,
    ) -> None:
        self.network, self.seed, self.measure = network, seed, validate
        self.train = points()
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(
            network.parameters(), lr=learning_rate, momentum=0.9
        )
        self.steps_per_epoch = self.train.batch_count(32)

    def batches(self, epoch: int) -> Iterator[Batch]:
        rng = generator_for("batches", self.seed, epoch)
        return shuffled_batches(self.train, 32, rng, nothing_drawn, Device())

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.train.inputs[batch[0]], self.train.classes[batch[0]]

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(self.network(inputs), targets)

    def validate(self) -> dict[str, float]:
        return self.measure(self.network)


def trained(
    network: nn.Module,
    *,
    epochs: int = 4,
    learning_rate: float = 0.1,
    seed: int = 7,
    device: Device = Device(),  # noqa: B008
    validate: Callable[[nn.Module], dict[str, float]] = measured,
    patience: int | None = None,
    include_epoch_zero: bool = False,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> History:
    return fit(
        CircleTask(network, learning_rate=learning_rate, seed=seed, validate=validate),
        FitSettings(epochs, seed, 0.25, patience, include_epoch_zero),
        device=device,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )


def scripted(*losses: float) -> Callable[[nn.Module], dict[str, float]]:
    """Return a `validate` that gives these losses, one an epoch."""
    following = iter(losses)
    return lambda network: {"validation_loss": next(following)}


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_training_learns() -> None:
    network = small_network()
    before = measured(network.eval())["validation_accuracy"]
    history = trained(network, epochs=30)
    assert measured(network)["validation_accuracy"] > max(before, 0.9)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    networks = [small_network() for _ in range(3)]
    for network, seed in zip(networks, (7, 7, 8), strict=True):
        torch.rand(seed)  # what others draw has no influence
        trained(network, seed=seed)
    assert_same_bits(networks[0], networks[1])
    assert not torch.equal(networks[0][0].weight, networks[2][0].weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_training_interrupted_after_any_epoch_ends_with_the_same_bits(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    device = Device("cpu", dtype)
    undisturbed = small_network()
    whole = trained(undisturbed, epochs=4, device=device)

    for last in range(1, 5):

        def power_cut(record: EpochRecord, last: int = last) -> None:
            if record.epoch == last:
                raise KeyboardInterrupt

        checkpoint = Checkpoint(tmp_path, f"cut-after-{last}", "key")
        with pytest.raises(KeyboardInterrupt):
            trained(
                small_network(),
                epochs=4,
                device=device,
                checkpoint=checkpoint,
                on_epoch=power_cut,
            )

        resumed = small_network(seed=99)
        assert trained(resumed, epochs=4, device=device, checkpoint=checkpoint) == whole
        assert_same_bits(resumed, undisturbed)


def test_a_resumed_training_does_not_repeat_epochs_but_reports_all(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "training", "key")
    epochs: list[int] = []
    reported: list[int] = []

    def validate(network: nn.Module) -> dict[str, float]:
        epochs.append(len(epochs) + 1)
        return measured(network)

    def cut_after_two(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(small_network(), validate=validate, checkpoint=checkpoint, on_epoch=cut_after_two)
    assert epochs == [1, 2]
    trained(
        small_network(),
        validate=validate,
        checkpoint=checkpoint,
        on_epoch=lambda record: reported.append(record.epoch),
    )
    assert epochs == [1, 2, 3, 4]
    assert reported == [1, 2, 3, 4]


def test_a_finished_training_whose_outputs_were_lost_is_not_repeated(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "training", "key")
    first, again = small_network(), small_network(seed=99)
    history = trained(first, checkpoint=checkpoint)
    assert trained(again, validate=scripted(), checkpoint=checkpoint) == history
    assert_same_bits(first, again)
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", "cut"])
def test_a_damaged_checkpoint_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes | str
) -> None:
    checkpoint = Checkpoint(tmp_path, "training", "key")
    undisturbed, network = small_network(), small_network()
    trained(undisturbed, checkpoint=checkpoint)
    whole = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(whole[: len(whole) // 2] if isinstance(damage, str) else damage)
    trained(network, checkpoint=checkpoint)
    assert_same_bits(network, undisturbed)
    assert "not usable" in capsys.readouterr().err


def test_a_checkpoint_of_other_settings_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path, "training", "one")
    trained(small_network(), checkpoint=checkpoint)
    other = Checkpoint(tmp_path, "training", "other")
    assert other.load() is None
    assert "other settings" in capsys.readouterr().err
    checkpoint.path.rename(other.path)
    assert other.load() is None
    assert "belongs to another training" in capsys.readouterr().err


def test_the_key_of_a_checkpoint_changes_with_all_that_it_depends_on(tmp_path: Path) -> None:
    code = tmp_path / "data/augment.py"
    code.parent.mkdir()
    code.write_text("one")

    def key(params: dict[str, int], examples: Examples, start: str = "") -> str:
        dataset = Dataset("points", "0" * 64, ("inside", "outside"), examples, points(4))
        return checkpoint_key(params, dataset, start=start, package=tmp_path)

    examples = points(8)
    other_inputs = Examples(examples.inputs.nextafter(torch.tensor(9.0)), examples.classes)
    other_classes = Examples(examples.inputs, 1 - examples.classes)
    keys = [
        key({"epochs": 1}, examples),
        key({"epochs": 2}, examples),
        key({"epochs": 1}, other_inputs),
        key({"epochs": 1}, other_classes),
        key({"epochs": 1}, examples, start="other weights"),
    ]
    same = key({"epochs": 1}, points(8))
    code.write_text("two")
    keys.append(key({"epochs": 1}, examples))
    assert same == keys[0]
    assert len(set(keys)) == 6


def test_the_best_epoch_wins_and_on_a_tie_the_earlier() -> None:
    network = small_network()
    states = []

    def validate(network: nn.Module) -> dict[str, float]:
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"validation_loss": [0.5, 0.3, 0.3, 0.4][len(states) - 1]}

    assert trained(network, validate=validate).best.epoch == 2
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, states[1][name])


def test_a_network_that_only_gets_worse_stays_as_it_came() -> None:
    network, start = small_network(), small_network()
    history = trained(network, validate=scripted(0.1, 0.2, 0.3, 0.4, 0.5), include_epoch_zero=True)
    assert history.best.epoch == 0
    assert history.epochs[0].train_loss is None
    assert_same_bits(network, start)


def test_it_stops_after_so_many_epochs_without_gain() -> None:
    losses = (0.5, 0.4, 0.45, 0.39, 0.6, 0.6, 0.1)
    history = trained(small_network(), epochs=7, validate=scripted(*losses), patience=2)
    assert len(history.epochs) == 6
    assert history.best.epoch == 4


def test_a_loss_that_explodes_is_explained_and_does_not_with_a_lower_rate() -> None:
    with pytest.raises(PandacatError, match="lower the learning rate"):
        trained(small_network(), learning_rate=1e30)
    trained(small_network(), learning_rate=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_keeps_the_weights_in_float32(dtype: torch.dtype) -> None:
    network = small_network()
    trained(network, epochs=20, device=Device("cpu", dtype))
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert measured(network)["validation_accuracy"] > 0.85


@pytest.mark.parametrize(
    ("bfloat16", "capability", "dtype", "channels_last"),
    [
        (True, (8, 0), torch.bfloat16, True),
        (False, (7, 5), torch.float16, True),
        (False, (6, 1), torch.float32, False),
    ],
)
def test_each_gpu_gets_what_is_fast_on_it(
    monkeypatch: pytest.MonkeyPatch,
    bfloat16: bool,
    capability: tuple[int, int],
    dtype: torch.dtype,
    channels_last: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert pick_device() == Device("cuda", dtype, channels_last)
    asked = pick_device("float32", "channels_last")
    assert asked == Device("cuda", torch.float32, channels_last=True)


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_calculates_in_bfloat16_only_where_that_is_native(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    dtype = torch.bfloat16 if native else torch.float32
    assert pick_device() == Device("cpu", dtype, channels_last=True)


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    factors = [warm_up_then_cosine(done, 0.2) for done in (0.1, 0.2, 0.6, 1)]
    assert factors == pytest.approx([0.5, 1, 0.5, 0])


def test_an_epoch_has_every_example_once_in_batches_of_nearly_equal_size() -> None:
    examples = Examples(torch.arange(65), torch.zeros(65))
    rng = generator_for("batches", 1, 1)
    batches = list(shuffled_batches(examples, 32, rng, lambda n: torch.full((n, 2), n), Device()))
    rows = [rows for rows, _ in batches]
    assert [len(some) for some in rows] == [22, 22, 21]
    assert all(torch.equal(draws, torch.full((len(some), 2), len(some))) for some, draws in batches)
    assert examples.batch_count(32) == 3
    assert torch.equal(torch.cat(rows).sort().values, examples.inputs)
    assert not torch.equal(torch.cat(rows), examples.inputs)


def test_curves_are_a_table_with_a_line_for_each_epoch() -> None:
    history = trained(small_network(), epochs=2, include_epoch_zero=True)
    header, zero, *others = history.curves().splitlines()
    assert header == "epoch,train_loss,validation_loss,validation_accuracy,learning_rate"
    assert zero.startswith("0,,")
    assert len(others) == 2
