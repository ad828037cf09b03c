import numpy as np
import pytest

from pandacat.evaluation.label_issues import rank_label_issues

PHOTOS = 300
NAMES = ("panda", "cat", "other")
Archive = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def archive() -> Archive:
    """Three well-separated labels, a mislabeled photo (7) and one unlike all others (11)."""
    generator = np.random.default_rng(0)
    truth = np.arange(PHOTOS) % 3
    features = 4 * np.eye(12)[truth] + generator.normal(size=(PHOTOS, 12))
    features[11] = 8 * np.eye(12)[9]
    labels = truth.copy()
    labels[7] = 0 if truth[7] else 1
    return features, labels, np.arange(PHOTOS)


def test_a_wrong_label_and_a_stray_picture_come_first_each_with_its_reason(
    archive: Archive,
) -> None:
    ranked = rank_label_issues(*archive, NAMES, seed=0)

    assert set(ranked["photo"][:2]) == {7, 11}
    wrong = ranked[ranked["photo"] == 7].iloc[0]
    assert wrong["margin"] < 0
    assert wrong["suggested"] == "cat"
    assert wrong["reason"] == "labeled panda, but cat is likelier"
    stray = ranked[ranked["photo"] == 11].iloc[0]
    assert stray["reason"] == "unlike other photos labeled other"
    assert stray["unlikeness"] > 4


def test_every_photo_is_ranked_once_and_the_same_way_each_time(archive: Archive) -> None:
    ranked = rank_label_issues(*archive, NAMES, seed=0)

    assert sorted(ranked["photo"]) == list(range(PHOTOS))
    assert ranked.equals(rank_label_issues(*archive, NAMES, seed=0))


def test_near_duplicates_of_a_stray_picture_do_not_make_it_less_unlike(archive):
    features, labels, groups = archive
    copies = np.arange(11, PHOTOS, 3)[:12]
    features[copies] = features[11]
    groups[copies] = 11

    ranked = rank_label_issues(features, labels, groups, NAMES, seed=0)

    assert set(copies) < set(ranked["photo"][:30])


def test_a_data_set_without_other_photos_is_ranked_too(archive: Archive) -> None:
    features, labels, groups = archive
    present = labels != 2

    ranked = rank_label_issues(features[present], labels[present], groups[present], NAMES, seed=0)

    assert len(ranked) == present.sum()


def test_of_32_planted_errors_most_are_in_the_first_32_places():
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [585, 700, 300])
    features = 4 * np.eye(24)[truth] + generator.normal(size=(len(truth), 24))
    planted = generator.choice(len(truth), 32, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + generator.integers(1, 3, 32)) % 3

    ranked = rank_label_issues(features, labels, np.arange(len(truth)), NAMES, seed=0)

    first = ranked.head(32)
    assert np.isin(first.photo, planted).sum() >= 30
    (correct,) = np.nonzero(first.suggested.map(NAMES.index) == truth[first.photo])
    assert len(correct) >= 30


def test_a_label_that_is_hard_to_tell_is_not_suspected_for_that():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 300, 60])
    features = 3 * np.eye(12)[labels] + generator.normal(size=(len(labels), 12))
    features[labels == 2] = 1.5 * np.eye(12)[2] + generator.normal(size=(60, 12))

    ranked = rank_label_issues(features, labels, np.arange(len(labels)), NAMES, seed=0)

    suspected = ranked[ranked.margin < 0]
    assert len(suspected) < 60
    assert (suspected.label == "other").mean() < 0.5
