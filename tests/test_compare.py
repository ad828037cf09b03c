"""Networks compared on the same photos."""

import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from conftest import EXAMPLES, PROBABILITY_COLUMNS
from PIL import Image

from pandacat.config.loading import parse_config
from pandacat.core.errors import PandacatError
from pandacat.evaluation.compare import InDistribution, compare_networks, compare_open_set_scores
from pandacat.evaluation.field_test import extract_field_test
from pandacat.labels import IMAGENET_CLASS_COUNT, IMAGENET_CLASSES, LABELS
from pandacat.models.classifier import extract_image_features
from pandacat.models.loading import load_classifier
from pandacat.models.saved import SavedModel

PANDA, CAT, OTHER = np.eye(3) * 0.7 + 0.1


def judged(**answers: list[np.ndarray]) -> pd.DataFrame:
    """Return a table of predictions on a panda, two cats and a dog."""
    labels = ["panda", "cat", "cat", "other"]
    return pd.concat(
        [
            pd.DataFrame(rows, columns=PROBABILITY_COLUMNS).assign(
                path=["a", "b", "c", "d"], label=labels, split="test", network=network
            )
            for network, rows in answers.items()
        ],
        ignore_index=True,
    )


def test_being_ahead_worked_out_by_hand():
    table = judged(rival=[PANDA, PANDA, OTHER, CAT], fine_tuned=[PANDA, CAT, CAT, CAT])

    found = compare_networks(table, seed=0).set_index("measure")

    two, three = found.loc["two_class_accuracy"], found.loc["accuracy"]
    assert two.ahead == pytest.approx(2 / 3)
    assert (two.only_ours, two.only_rival) == (2, 0)
    assert two.p_value == pytest.approx(2 / 2**2)
    assert three.ahead == pytest.approx(2 / 4)
    assert found.loc["log_loss"].ahead == pytest.approx(2 * np.log(8) / 4)
    assert (found.low <= found.ahead).all()
    assert (found.ahead <= found.high).all()
    assert set(found.rival) == {"rival"}


def test_a_network_is_not_ahead_of_one_that_says_the_same():
    same = [PANDA, PANDA, CAT, OTHER]

    found = compare_networks(judged(rival=same, fine_tuned=same), seed=0)

    assert (found[["difference", "low", "high"]] == 0).all(axis=None)
    assert (found.p_value.dropna() == 1).all()


def head_that_reads_the_first_two_features() -> SavedModel:
    weight = np.zeros((IMAGENET_CLASS_COUNT, 4), np.float32)
    weight[IMAGENET_CLASSES["panda"][0], 0] = weight[IMAGENET_CLASSES["cat"][0], 1] = 10
    bias = np.zeros(IMAGENET_CLASS_COUNT, np.float32)
    return SavedModel(None, {"head.weight": weight, "head.bias": bias})  # type: ignore[arg-type]


def test_open_set_scores_are_compared_for_the_center_and_for_all_views():
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    kinds = np.eye(4)[[0, 1, 3]] * 2
    crops = kinds[labels][:, None] + 0.2 * generator.normal(size=(90, 5, 4))
    known = InDistribution(kinds[labels % 2] + 0.2 * generator.normal(size=(90, 4)), labels % 2)

    found = compare_open_set_scores(crops, labels, head_that_reads_the_first_two_features(), known)

    assert set(found.crops) == {"center", "mean", "largest"}
    assert not found.duplicated(["score", "crops"]).any()
    assert (found.loc[found.score == "known_probability", "auroc"] == 1).all()
    assert (found.auroc_low <= found.auroc).all()


def test_there_is_nothing_to_compare_where_all_photos_are_known():
    crops, labels = np.ones((4, 2, 4)), np.array([0, 1, 0, 1])
    known = InDistribution(np.ones((4, 4)), labels)

    found = compare_open_set_scores(crops, labels, head_that_reads_the_first_two_features(), known)

    assert found.empty


def test_networks_with_one_trunk_share_one_pass_and_each_gets_its_own_views(workspace):
    from pandacat.data.images import load_image

    classifiers = {
        name: load_classifier(name, models=workspace / "models")
        for name in ("pretrained", "linear-probe")
    }
    data = (EXAMPLES / "cat.jpg").read_bytes()
    image = load_image(data, image_px=384, max_megapixels=200).image

    seen = extract_image_features(image, classifiers.values())

    assert set(seen) == {classifiers["linear-probe"].backbone_key}
    alone = classifiers["linear-probe"].features(classifiers["linear-probe"].cut(image))
    np.testing.assert_allclose(seen[classifiers["linear-probe"].backbone_key], alone)


def test_the_plain_network_takes_other_animals_for_pandas_and_cats(workspace):
    judged = pd.read_csv(workspace / "data/predictions/field_test.csv")
    plain = judged[(judged.network == "linear_probe") & (judged.label == "other")]

    assert len(plain) == 3
    assert (plain.p_other == 0).all()
    assert LABELS.index("other") not in plain[PROBABILITY_COLUMNS].to_numpy().argmax(axis=1)


@pytest.fixture
def see_elsewhere(workspace, monkeypatch, small_params):
    """Return what `see_archive` makes of a folder of photos, as the stage calls it."""
    monkeypatch.chdir(workspace)
    settings = parse_config(small_params)
    classifiers = {"pretrained": load_classifier("pretrained", models=workspace / "models")}

    def see(folder):
        return extract_field_test(
            classifiers,
            folder,
            settings.photos.folders,
            settings.preprocess,
            photo_folder=workspace / "data/photos",
        )

    return see


@pytest.fixture
def elsewhere(workspace, tmp_path):
    shutil.copytree(workspace / "elsewhere", tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def test_what_cannot_be_read_elsewhere_is_named(see_elsewhere, elsewhere, capsys):
    whole = len(see_elsewhere(elsewhere).index)
    (elsewhere / "cat/torn.jpg").write_bytes(b"torn")
    assert len(see_elsewhere(elsewhere).index) == whole
    assert "1 photos can't be read and are left out: cat/torn.jpg (" in capsys.readouterr().err


def test_copies_of_the_archives_own_photos_are_not_from_elsewhere(
    workspace, see_elsewhere, elsewhere, capsys
):
    whole = see_elsewhere(elsewhere)
    with zipfile.ZipFile(workspace / "data/raw/photos.zip") as own:
        own.extract("cat/cat-0002.jpg", elsewhere)
    with Image.open(elsewhere / "cat/cat-0002.jpg") as drawn:
        drawn.resize((150, 150)).save(elsewhere / "cat/smaller.png")
    seen = see_elsewhere(elsewhere)
    pd.testing.assert_frame_equal(seen.index, whole.index)
    assert "2 photos are copies of photos in data/photos" in capsys.readouterr().err


def test_of_copies_elsewhere_one_counts_and_none_under_two_labels(see_elsewhere, elsewhere, capsys):
    whole = len(see_elsewhere(elsewhere).index)
    (elsewhere / "cat/twice.jpg").write_bytes((EXAMPLES / "cat_chelsea.jpg").read_bytes())
    for name in ("cat/jaguar.jpg", "other/jaguar.jpg"):
        (elsewhere / name).write_bytes((EXAMPLES / "jaguar.jpg").read_bytes())
    capsys.readouterr()

    assert len(see_elsewhere(elsewhere).index) == whole
    told = capsys.readouterr().err
    assert "1 photos are copies of others in it and are left out: cat/twice.jpg" in told
    assert "2 photos are there under several labels" in told


def test_what_elsewhere_has_no_label_is_told(see_elsewhere, elsewhere, capsys):
    (elsewhere / "dragon").mkdir()
    (elsewhere / "dragon/1.jpg").write_bytes((EXAMPLES / "cow.jpg").read_bytes())
    see_elsewhere(elsewhere)
    assert "no label in photos.folders for: dragon (1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("photos", "said"),
    [
        ({"cat/1.jpg": "cat.jpg"}, "the archive has no photos of panda; its folders"),
        ({"cat/1.jpg": "cat.jpg", "panda/1.jpg": None}, "no photo of panda is left"),
        ({"cat/1.jpg": None, "panda/1.jpg": None}, "no photo of panda is left"),
    ],
)
def test_without_pandas_or_cats_elsewhere_the_parameter_is_named(
    see_elsewhere, tmp_path, photos, said
):
    for name, example in photos.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((EXAMPLES / example).read_bytes() if example else b"")
    with pytest.raises(PandacatError, match=f"^evaluate.field_test, .*{said}"):
        see_elsewhere(tmp_path)
