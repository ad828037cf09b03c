"""params.yaml is checked whole, and every fault is named by its key."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pandacat.config.loading import default_config, load_config, parse_config
from pandacat.core.errors import PandacatError
from pandacat.core.paths import DEFAULT_PARAMS
from pandacat.labels import imagenet_classes

CONTENT = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


def scalars(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all values but lists, and rules, whose names have dots."""
    for key, value in content.items():
        if isinstance(value, dict) and key != "gate":
            yield from scalars(value, f"{prefix}{key}.")
        elif not isinstance(value, dict | list):
            yield f"{prefix}{key}"


def changed(key: str, value: object) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    return content


def test_the_projects_own_params_are_valid() -> None:
    assert load_config(ROOT / "params.yaml").photos.source == "sample"


def test_the_package_brings_them_along_as_they_are() -> None:
    same = DEFAULT_PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert same, "params.yaml was changed: `make deps` copies it into the package"
    assert default_config() == load_config(ROOT / "params.yaml")


def test_the_code_has_no_links_which_copies_and_archives_may_lose() -> None:
    assert [path for path in (ROOT / "src").rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("photos.source", "internet"),
        ("photos.sample.photos_per_class", "many"),
        ("photos.sample.photos_per_class", 0),
        ("photos.sample.photos_per_class", True),
        ("photos.kaggle.dataset", "no-owner"),
        ("photos.kaggle.dataset", "https://www.kaggle.com/datasets/owner/name"),
        ("labels.cat.folders", ["felis/catus"]),
        ("labels.cat.imagenet", ["giant pandas"]),
        ("labels.other", {"folders": ["x"], "imagenet": []}),
        ("labels.Fox", {"folders": ["x"], "imagenet": []}),
        ("photos.archive", ""),
        ("evaluate.field_test", ""),
        ("preprocess.test_share", 1.5),
        ("preprocess.seed", -1),
        ("preprocess.image_px", 384.5),
        ("predict_pretrained.engine", None),
        ("fine_tune.strategy", "all"),
        ("fine_tune.l2_sp", float("nan")),
        ("fine_tune.l2_sp", float("inf")),
        ("fine_tune.l2_sp", 1e308),
        ("fine_tune.seen_class_scale", 1e308),
        ("train_scratch.photos.learning_rate", 1e308),
        ("train_scratch.photos.weight_decay", 1e308),
        ("train_scratch.photos.channels", [10**29, 1, 1, 1]),
        ("train_scratch.photos.depths", [10**29, 1, 1, 1]),
        ("train_scratch.photos.batch_size", 10**400),
        ("preprocess.max_megapixels", 6_000),
        ("fine_tune.augment.scale", [1e-30, 1]),
        ("fine_tune.learning_rate", float("inf")),
        ("evaluate.mistakes_shown", "12"),
        ("preprocess.sidepx", 3),
    ],
)
def test_a_fault_is_named_by_its_key(key: str, value: object) -> None:
    with pytest.raises(PandacatError, match=key.replace(".", r"\.")):
        parse_config(changed(key, value))


def test_a_missing_key_is_named() -> None:
    content = copy.deepcopy(CONTENT)
    del content["preprocess"]["seed"]
    with pytest.raises(PandacatError, match=r"preprocess\.seed: is missing"):
        parse_config(content)


def test_a_misspelt_key_is_named_with_the_one_that_is_meant() -> None:
    content = copy.deepcopy(CONTENT)
    content["preprocess"]["tset_share"] = content["preprocess"].pop("test_share")
    with pytest.raises(PandacatError, match=r"preprocess\.tset_share: .* is test_share meant\?"):
        parse_config(content)


def test_a_date_is_taken_as_the_text_it_was_written_as(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("  archive: ", "  archive: 2026-11-23 ")
    (tmp_path / "params.yaml").write_text(text)
    assert load_config(tmp_path / "params.yaml").photos.archive == "2026-11-23"


def test_aliases_that_stand_for_terabytes_are_refused(tmp_path: Path) -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
    (tmp_path / "params.yaml").write_text("\n".join(bomb))
    with pytest.raises(PandacatError, match="far too large"):
        load_config(tmp_path / "params.yaml")


def test_all_faults_are_named_at_once() -> None:
    content = changed("photos.source", 3)
    content["preprocess"]["seed"] = "x"
    with pytest.raises(PandacatError) as error:
        parse_config(content)
    assert "photos.source" in str(error.value)
    assert "preprocess.seed" in str(error.value)


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(PandacatError, match="test_share"):
        parse_config(changed("preprocess.test_share", 0.8))


def test_the_way_dvc_writes_a_small_number_is_read_as_a_number(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("l2_sp: 0.1 ", "l2_sp: 1e-05 ")
    (tmp_path / "params.yaml").write_text(text)
    assert load_config(tmp_path / "params.yaml").fine_tune.l2_sp == 1e-05


@pytest.mark.parametrize(
    "text",
    ["", "a: [", "\0", "- 1", "photos: {}\nphotos: {}", "photos: !!python/none", "5", "[" * 600],
)
def test_what_is_not_a_params_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(PandacatError):
        load_config(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_be(tmp_path: Path) -> None:
    with pytest.raises(PandacatError, match="top folder"):
        load_config(tmp_path / "params.yaml")


def test_a_folder_in_its_place_is_not_called_yaml(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("entries", "classes"),
    [
        (["giant panda"], (388,)),
        (["Giant Panda", 388], (388,)),
        ([281, "283-285"], (281, 283, 284, 285)),
        ([], ()),
    ],
)
def test_imagenet_classes_are_given_by_name_index_or_range(entries, classes) -> None:
    assert imagenet_classes(entries) == classes


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["fox"], "no class 'fox'; is .*red fox or kit fox or Arctic fox.* meant"),
        (["giant pandas"], "is giant panda meant"),
        (["zzzz"], "no class 'zzzz'. For an animal that it lacks, write"),
        ([1000], "0 to 999, not 1000"),
        (["9-3"], "0 to 999, not 9-3"),
        ("tabby", "needs a list"),
        (281, "needs a list"),
    ],
)
def test_a_wrong_imagenet_class_is_answered_with_a_way_out(entries, message) -> None:
    with pytest.raises(ValueError, match=message):
        imagenet_classes(entries)


def test_a_long_value_does_not_bury_the_way_out() -> None:
    with pytest.raises(PandacatError) as raised:
        parse_config(changed("labels.cat.imagenet", ["x" * 5000]), "params.yaml")
    text = str(raised.value)
    assert len(text) < 1000
    assert "labels.cat.imagenet: ImageNet has no class 'xxx" in text
    assert text.endswith("For an animal that it lacks, write []")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "labels.cat.folders",
            ["cat", "Panda"],
            "labels, other: two .* folder panda",
        ),
        ("labels.cat.folders", ["Dogs"], "labels, other: two .* folder dogs"),
        ("labels.cat.imagenet", ["giant panda"], "labels: two labels share an ImageNet class"),
    ],
)
def test_what_two_labels_share_is_named(key: str, value: list[str], message: str) -> None:
    with pytest.raises(PandacatError, match=message):
        parse_config(changed(key, value))


@pytest.mark.parametrize("key", sorted(scalars(CONTENT)))
def test_dvc_changes_one_line_of_params_yaml_for_one_value(tmp_path: Path, key: str) -> None:
    before = (ROOT / "params.yaml").read_text().splitlines()
    file = tmp_path / "params.yaml"
    file.write_text("\n".join(before) + "\n")
    apply_overrides(file, [f"{key}=changed"])
    after = file.read_text().splitlines()
    assert len(after) == len(before)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
