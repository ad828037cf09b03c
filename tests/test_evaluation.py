"""Networks compared on the same photos."""

import numpy as np
import pandas as pd
import pytest

from pandacat.evaluation import Known, compare_networks, compare_open_set_scores
from pandacat.labels import IMAGENET_CLASS_COUNT, IMAGENET_CLASSES, LABELS
from pandacat.predictions import PROBABILITIES
from pandacat.recogniser import open_model, see
from pandacat.saved import SavedModel

PANDA, CAT, OTHER = np.eye(3) * 0.7 + 0.1


def judged(**answers: list[np.ndarray]) -> pd.DataFrame:
    """Return a table of predictions on a panda, two cats and a dog."""
    labels = ["panda", "cat", "cat", "other"]
    return pd.concat(
        [
            pd.DataFrame(rows, columns=PROBABILITIES).assign(
                path=["a", "b", "c", "d"], label=labels, split="test", network=network
            )
            for network, rows in answers.items()
        ],
        ignore_index=True,
    )


def test_being_ahead_worked_out_by_hand():
    table = judged(rival=[PANDA, PANDA, OTHER, CAT], fine_tuned=[PANDA, CAT, CAT, CAT])

    found = compare_networks(table, seed=0).set_index("measure")

    two, three = found.loc["two_class_accuracy"], found.loc["three_class_accuracy"]
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

    assert (found[["ahead", "low", "high"]] == 0).all(axis=None)
    assert (found.p_value.dropna() == 1).all()


def head_that_reads_the_first_two_features() -> SavedModel:
    weight = np.zeros((IMAGENET_CLASS_COUNT, 4), np.float32)
    weight[IMAGENET_CLASSES["panda"][0], 0] = weight[IMAGENET_CLASSES["cat"][0], 1] = 10
    bias = np.zeros(IMAGENET_CLASS_COUNT, np.float32)
    return SavedModel(None, {"head.weight": weight, "head.bias": bias})  # type: ignore[arg-type]


def test_open_set_scores_are_compared_for_the_centre_and_for_all_views():
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    kinds = np.eye(4)[[0, 1, 3]] * 2
    views = kinds[labels][:, None] + 0.2 * generator.normal(size=(90, 5, 4))
    known = Known(kinds[labels % 2] + 0.2 * generator.normal(size=(90, 4)), labels % 2)

    found = compare_open_set_scores(views, labels, head_that_reads_the_first_two_features(), known)

    assert set(found.views) == {"centre", "mean", "largest"}
    assert not found.duplicated(["score", "views"]).any()
    assert (found.loc[found.score == "known_probability", "auroc"] == 1).all()
    assert (found.auroc_low <= found.auroc).all()


def test_there_is_nothing_to_compare_where_all_photos_are_known():
    views, labels = np.ones((4, 2, 4)), np.array([0, 1, 0, 1])
    known = Known(np.ones((4, 4)), labels)

    found = compare_open_set_scores(views, labels, head_that_reads_the_first_two_features(), known)

    assert found.empty


def test_networks_with_one_trunk_share_one_pass_and_each_gets_its_own_views(workspace):
    from conftest import EXAMPLES

    from pandacat import photos

    recognisers = {
        name: open_model(name, models=workspace / "models") for name in ("pretrained", "plain")
    }
    data = (EXAMPLES / "cat.jpg").read_bytes()
    image = photos.read(data, side_px=384, max_megapixels=200).image

    seen = see(image, recognisers.values())

    assert set(seen) == {recognisers["plain"].trunk_key}
    alone = recognisers["plain"].features(recognisers["plain"].cut(image))
    np.testing.assert_allclose(seen[recognisers["plain"].trunk_key], alone)


def test_the_plain_network_takes_other_animals_for_pandas_and_cats(workspace):
    judged = pd.read_csv(workspace / "data/predictions/field_test.csv")
    plain = judged[(judged.network == "plain") & (judged.label == "other")]

    assert len(plain) == 3
    assert (plain.p_other == 0).all()
    assert LABELS.index("other") not in plain[PROBABILITIES].to_numpy().argmax(axis=1)
