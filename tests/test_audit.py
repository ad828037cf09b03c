"""The audit finds planted shortcuts, copies and wrong labels, and none where there are none."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pandacat.config.loading import load_config
from pandacat.config.photos import SampleParams
from pandacat.config.schema import AuditParams
from pandacat.core.errors import PandacatError
from pandacat.data import store
from pandacat.data.preprocess import preprocess, read_exclusions
from pandacat.data.provenance import Provenance
from pandacat.data.sources import sample
from pandacat.evaluation import shortcuts
from pandacat.evaluation.audit import Audit, audit
from pandacat.report.templating import render

COUNT = 40
DRAWN_COUNT = 24
ORIGIN = Provenance("noise", "archive", "a test", "1", "none", drawn=True, sha256="0" * 64)
PARAMS = load_config(Path(__file__).parents[1] / "params.yaml")


SAME_IN_A_SHOT = ("width_px", "height_px", "aspect", "mode", "quantization")


def noise(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    width, height = generator.integers(100, 400, 2).tolist()
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved_at(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of noise in which every cat was saved at low quality, and one cat is a panda."""
    folder = tmp_path_factory.mktemp("audit")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for n in range(COUNT):
            archive.writestr(f"panda/{n:03d}.jpg", saved_at(noise(n), 60 + n % 35))
            archive.writestr(f"cat/{n:03d}.jpg", saved_at(noise(1000 + n), 20 + n % 25))
        archive.writestr("cat/copy.jpg", saved_at(noise(3), 30))
    index = preprocessed(folder, ORIGIN)
    features = np.random.default_rng(0).normal(size=(len(index), 8)).astype(np.float32)
    pandas = index.name.str.startswith("panda") | (index.name == "cat/007.jpg")
    features[:, 0] += np.where(pandas, 8, -8)
    return audited(folder, ORIGIN, features)


def preprocessed(folder: Path, origin: Provenance) -> pd.DataFrame:
    """Take `photos.zip` to `photos`; return the index."""
    preprocess(
        folder / "photos.zip",
        origin,
        folder / "photos",
        PARAMS,
        exclusions={},
    )
    return store.read_index(folder / "photos")


def audited(folder: Path, origin: Provenance, features: np.ndarray) -> Audit:
    return audit(
        folder / "photos.zip",
        folder / "photos",
        origin,
        features,
        AuditParams(label_issues_shown=5, seed=0),
        input_px=224,
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first drawings of the default sample in `photos.zip`."""
    folder = tmp_path_factory.mktemp("drawn")
    seed = PARAMS.photos.sample.seed
    labels = {"panda": ("panda",), "cat": ("cat",)}
    params = SampleParams(photos_per_class=DRAWN_COUNT, seed=seed)
    sample.write_archive(folder / "photos.zip", params, labels)
    return folder


def audit_of_files(folder: Path, origin: Provenance) -> Audit:
    """Return the audit as far as it goes without a network."""
    photos = len(preprocessed(folder, origin))
    return audited(folder, origin, np.ones((photos, 8)))


def page_of(result: Audit) -> str:
    return render("audit.md", audit=result, title="a test")


def test_a_planted_shortcut_is_found_and_ranked_first(result: Audit) -> None:
    best = result.original.iloc[0]
    assert best.property in ("quantization", "together")
    assert best.value > 0.95
    assert any("JPEG quantization" in warning for warning in result.warnings)


def test_in_the_drawn_sample_no_shortcut_surely_beats_chance(drawn: Path) -> None:
    result = audit_of_files(drawn, replace(ORIGIN, source="sample"))
    pixels = {*shortcuts.OF_THE_PICTURE, "blockiness"}
    for findings, properties in (
        (result.original, shortcuts.IN_WORDS.keys() - {"blockiness"}),
        (result.preprocessed, shortcuts.IN_WORDS.keys()),
        (result.network_input, pixels),
    ):
        assert {*findings.property} == {*properties, shortcuts.TOGETHER}
        assert len(findings) == 3 * (len(properties) + 1)
        assert (findings.low <= shortcuts.CHANCE).all()
        assert (findings.high >= shortcuts.CHANCE).all()
    shared = result.original[result.original.property.isin(SAME_IN_A_SHOT)]
    assert set(shared.value) == {shortcuts.CHANCE}
    assert result.warnings == []
    assert "No measured property" in page_of(result)


def test_in_a_copy_with_one_class_at_low_quality_that_is_ranked_first_and_warned_of(
    drawn: Path, tmp_path: Path
) -> None:
    with (
        zipfile.ZipFile(drawn / "photos.zip") as fair,
        zipfile.ZipFile(tmp_path / "photos.zip", "w") as unfair,
    ):
        for name in fair.namelist():
            jpeg = fair.read(name)
            if name.startswith("cat"):
                jpeg = saved_at(Image.open(io.BytesIO(jpeg)), 20)
            unfair.writestr(name, jpeg)
    result = audit_of_files(tmp_path, ORIGIN)
    best = result.original.iloc[0]
    assert best.property == "quantization"
    assert "cat" in (best["first"], best["second"])
    assert best.value == 1
    assert result.warnings[0].startswith(
        "One number about the file, its JPEG quantization, distinguishes"
    )
    assert result.warnings[0].endswith("A network can learn this instead of the animal.")
    assert f"- **{result.warnings[0]}**" in page_of(result)


def test_preprocessed_copies_have_lost_the_quantization(result: Audit) -> None:
    copies = result.preprocessed.set_index("property").loc["quantization"]
    assert copies.low <= 0.5 <= copies.high


def test_the_blocks_of_the_original_files_are_found_in_what_is_made_of_them(result: Audit) -> None:
    for findings in (result.preprocessed, result.network_input):
        blocks = findings.set_index("property").loc["blockiness"]
        assert blocks.low > shortcuts.NOTABLE


def test_the_page_shows_what_only_the_copies_have(result: Audit) -> None:
    (row,) = [line for line in page_of(result).splitlines() if "| JPEG blockiness |" in line]
    original, copies, network_input = row.split(" | ")[2:]
    assert original == "–"
    assert "%" in copies
    assert "%" in network_input


def test_a_copy_under_another_label_is_a_conflict(result: Audit) -> None:
    assert set(result.duplicates.path) == {"panda/003.jpg", "cat/copy.jpg"}
    assert result.duplicates.split.nunique() == 1
    assert result.metrics()["duplicate_groups_with_several_labels"] == 1


def test_a_wrong_label_heads_the_list(result: Audit) -> None:
    first = result.label_issues.iloc[0]
    assert (first.path, first.label, first.suggested) == ("cat/007.jpg", "cat", "panda")


def test_the_tables_hold_every_finding(result: Audit, tmp_path: Path) -> None:
    result.write_tables(tmp_path)
    table = pd.read_csv(tmp_path / "shortcuts.csv")
    assert shortcuts.warnings(table) == result.warnings
    assert len(table) == len(result.preprocessed)
    assert (
        pd.read_csv(tmp_path / "label_issues.csv").path.tolist()
        == result.label_issues.path.tolist()
    )
    assert len(pd.read_csv(tmp_path / "duplicates.csv")) == 2


def test_the_page_says_it_in_words(result: Audit) -> None:
    page = page_of(result)
    assert "One number about the file, its JPEG quantization, distinguishes panda from cat" in page
    assert "cat/007.jpg" in page


def test_exclusions_are_read_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('path,reason\n a/b.jpg ,a boat\n\nc.jpg,"dark, blurred"\n')
    listed = read_exclusions(tmp_path / "list.csv")
    assert listed == {"a/b.jpg": "a boat", "c.jpg": "dark, blurred"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,why\na,b\n",
        "path\na\n",
        "path,reason\na,dark, blurred\n",
        "path,reason\na\n",
        "path,reason\n,dark\n",
    ],
)
def test_a_list_of_another_form_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(PandacatError, match="columns path and reason"):
        read_exclusions(tmp_path / "list.csv")


def test_a_list_that_is_gone_can_be_had_again(tmp_path: Path) -> None:
    with pytest.raises(PandacatError, match="is missing: get it back with `git checkout"):
        read_exclusions(tmp_path / "list.csv")


def test_the_projects_own_list_gives_a_reason_for_each_photo() -> None:
    listed = read_exclusions(Path(__file__).parents[1] / "data/exclusions.csv")
    assert all(reason for reason in listed.values())
    assert pd.Index(listed).is_unique
