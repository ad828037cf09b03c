"""Networks compared on the same photos: those of the test split, and those of a field test."""

import shutil
import zipfile
from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import EXAMPLES, PROBABILITY_COLUMNS
from dvc_stages import FIELD_TEST
from PIL import Image

from pandacat.config.loading import parse_config
from pandacat.core.errors import PandacatError
from pandacat.data.crops import crop_count
from pandacat.data.images import load_image
from pandacat.evaluation.compare import compare_networks, evaluate
from pandacat.evaluation.field_test import read_field_test
from pandacat.evaluation.networks import predict_image
from pandacat.models.loading import load_classifier

PANDA, CAT, OTHER = np.eye(3) * 0.7 + 0.1


def predictions(**networks: list[np.ndarray]) -> pd.DataFrame:
    """Return a table of predictions of a panda, two cats and a dog."""
    labels = ["panda", "cat", "cat", "other"]
    return pd.concat(
        [
            pd.DataFrame(rows, columns=PROBABILITY_COLUMNS).assign(
                path=["a", "b", "c", "d"], label=labels, split="test", network=network
            )
            for network, rows in networks.items()
        ],
        ignore_index=True,
    )


def test_differences_worked_out_by_hand():
    table = predictions(scratch=[PANDA, PANDA, OTHER, CAT], fine_tuned=[PANDA, CAT, CAT, CAT])

    differences = compare_networks(table, seed=0).set_index("measure")

    two, three = differences.loc["two_class_accuracy"], differences.loc["accuracy"]
    assert two.difference == pytest.approx(2 / 3)
    assert (two.only_ours, two.only_theirs) == (2, 0)
    assert two.p_value == pytest.approx(2 / 2**2)
    assert three.difference == pytest.approx(2 / 4)
    assert differences.loc["log_loss"].difference == pytest.approx(2 * np.log(8) / 4)
    assert (differences.low <= differences.difference).all()
    assert (differences.difference <= differences.high).all()
    assert set(differences.network) == {"scratch"}


def test_of_equal_predictions_the_losses_are_equal_and_the_accuracies_uncertain():
    same = [PANDA, PANDA, CAT, OTHER]

    differences = compare_networks(predictions(scratch=same, fine_tuned=same), seed=0)
    accuracies = differences[differences.measure != "log_loss"]

    assert (differences.difference == 0).all()
    assert (accuracies.p_value == 1).all()
    assert (accuracies.high == -accuracies.low).all()
    assert (accuracies.high > 0.5).all()  # of four photos


def test_metrics_hold_the_differences_of_each_other_network():
    table = predictions(scratch=[PANDA, PANDA, OTHER, CAT], fine_tuned=[PANDA, CAT, CAT, CAT])

    metrics = evaluate(table, compare_networks(table, seed=0), seed=0)

    assert "fine_tuned_difference" not in metrics["fine_tuned"]
    differences = metrics["scratch"]["fine_tuned_difference"]
    assert differences["accuracy"]["value"] == pytest.approx(2 / 4)
    assert set(differences["accuracy"]) == {"value", "low", "high", "p_value"}
    assert set(differences["log_loss"]) == {"value", "low", "high"}


def test_a_pair_is_compared_only_where_there_are_two_in_distribution_labels():
    table = predictions(scratch=[PANDA, PANDA, OTHER, CAT], fine_tuned=[PANDA, CAT, CAT, CAT])
    table.insert(5, "p_fox", 0.0)

    differences = compare_networks(table, seed=0)
    metrics = evaluate(table, differences, seed=0)["fine_tuned"]

    assert set(differences.measure) == {"accuracy", "log_loss"}
    assert not {"two_class_accuracy", "roc_auc"} & set(metrics)
    assert metrics["photos"] == {"panda": 1, "cat": 2, "fox": 0, "other": 1}


def test_open_set_metrics_need_photos_of_both_kinds():
    table = predictions(fine_tuned=[PANDA, CAT, CAT, CAT])

    def metrics_of(rows):
        return evaluate(rows, compare_networks(rows, seed=0), seed=0)["fine_tuned"]

    assert "open_set" in metrics_of(table)
    assert "open_set" not in metrics_of(table[table.label != "other"])


def test_networks_with_one_backbone_share_one_pass_and_each_gets_its_own_crops(
    workspace, monkeypatch
):
    names = ("pretrained", "fine-tuned", "linear-probe")
    classifiers = {name: load_classifier(name, models=workspace / "models") for name in names}
    passes = []

    def counted(features, images):
        passes.append(len(images))
        return features(images)

    for classifier in classifiers.values():
        monkeypatch.setattr(classifier, "features", partial(counted, classifier.features))
    image = load_image(
        (EXAMPLES / "cat/kitten.jpg").read_bytes(), classifiers["fine-tuned"].image_spec
    )

    together = predict_image(classifiers, image)

    of_crops = [count for count in passes if count != crop_count("tiles")]
    assert of_crops == [max(classifier.crop_count for classifier in classifiers.values())]
    for name, probabilities in zip(names, together, strict=True):
        (alone,) = predict_image({name: classifiers[name]}, image)
        np.testing.assert_allclose(probabilities, alone, atol=1e-6)


def test_the_linear_probe_takes_other_animals_for_pandas_and_cats(workspace):
    table = pd.read_csv(workspace / "data/predictions/field_test.csv")
    others = table[(table.network == "linear_probe") & (table.label == "other")]

    assert len(others) == 8
    assert (others.p_other == 0).all()


@pytest.fixture
def read(workspace, monkeypatch, small_params):
    """Return a function that reads a field test from a folder of photos, as the stage does."""
    monkeypatch.chdir(workspace)
    config = parse_config(small_params)
    return lambda folder: read_field_test(folder, config, photo_folder=workspace / "data/photos")


@pytest.fixture
def field_test(workspace, tmp_path):
    shutil.copytree(workspace / FIELD_TEST, tmp_path / "field_test")
    return tmp_path / "field_test"


def test_photos_that_cannot_be_read_are_named(read, field_test, capsys):
    whole = len(read(field_test))
    (field_test / "cat/torn.jpg").write_bytes(b"torn")
    assert len(read(field_test)) == whole
    assert "1 photos can't be read and are left out: cat/torn.jpg (" in capsys.readouterr().err


def test_copies_of_the_archives_own_photos_are_left_out(workspace, read, field_test, capsys):
    whole = read(field_test)
    with zipfile.ZipFile(workspace / "data/raw/photos.zip") as own:
        own.extract("cat/cat-0002.jpg", field_test)
    with Image.open(field_test / "cat/cat-0002.jpg") as drawn:
        drawn.resize((150, 150)).save(field_test / "cat/smaller.png")
    pd.testing.assert_frame_equal(read(field_test), whole)
    assert "2 photos are copies of photos in data/photos" in capsys.readouterr().err


def test_of_copies_in_a_field_test_one_counts_and_none_under_two_labels(read, field_test, capsys):
    whole = len(read(field_test))
    (field_test / "cat/twice.jpg").write_bytes((EXAMPLES / "cat/chelsea.jpg").read_bytes())
    (field_test / "cat/jaguar.jpg").write_bytes((EXAMPLES / "other/jaguar.jpg").read_bytes())
    capsys.readouterr()

    assert len(read(field_test)) == whole - 1  # without the jaguar
    message = capsys.readouterr().err
    assert "1 photos are copies of others in it and are left out: cat/twice.jpg" in message
    assert "2 photos are there under several labels" in message


def test_folders_without_a_label_are_named(read, field_test, capsys):
    (field_test / "dragon").mkdir()
    for name in ("dragon/1.jpg", "1.jpg"):
        (field_test / name).write_bytes((EXAMPLES / "other/cow.jpg").read_bytes())
    read(field_test)
    message = "folders without a label in params.yaml: (top) (1), dragon (1)"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ({"cat/1.jpg": "cat/kitten.jpg"}, "the archive has no photos of panda; its folders"),
        ({"cat/1.jpg": "cat/kitten.jpg", "panda/1.jpg": None}, "no photo of panda is left"),
        ({"cat/1.jpg": None, "panda/1.jpg": None}, "no photo of panda is left"),
    ],
)
def test_without_photos_of_a_label_the_parameter_is_named(read, tmp_path, photos, message):
    for name, example in photos.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((EXAMPLES / example).read_bytes() if example else b"")
    with pytest.raises(PandacatError, match=f"^evaluate.field_test, .*{message}"):
        read(tmp_path)
