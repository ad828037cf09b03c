"""Near-duplicates share a group, and no group is divided between splits."""

import hashlib
from typing import Any

import numpy as np
import pytest

from pandacat.data.duplicates import group_near_duplicates
from pandacat.data.splits import assign_splits

LABELS = ["panda"] * 300 + ["cat"] * 200 + ["other"] * 100
KEYS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(600)]
SHARES: dict[str, Any] = {"validation_share": 0.15, "test_share": 0.2, "seed": 1}


def codes(count: int, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    return [generator.bytes(16).hex() for _ in range(count)]


def with_flipped_bits(code: str, *bits: int) -> str:
    return f"{int(code, 16) ^ sum(1 << bit for bit in bits):032x}"


def test_unrelated_photos_have_groups_of_their_own_in_order_of_appearance() -> None:
    groups = group_near_duplicates(codes(50), codes(50, seed=1), 8)
    assert groups.tolist() == list(range(50))


@pytest.mark.parametrize("bits", [(), (0,), (0, 17, 34, 51, 68, 85, 102, 119), tuple(range(8))])
def test_copies_within_the_limit_share_a_group(bits: tuple[int, ...]) -> None:
    plain = codes(20)
    plain.append(with_flipped_bits(plain[3], *bits))
    groups = group_near_duplicates(plain, codes(21, seed=1), 8)
    assert groups[20] == groups[3]
    assert len(set(groups.tolist())) == 20


def test_copies_beyond_the_limit_do_not() -> None:
    plain = codes(20)
    plain.append(with_flipped_bits(plain[3], *range(0, 117, 13)))
    assert len(set(group_near_duplicates(plain, codes(21, seed=1), 8).tolist())) == 21


def test_a_mirrored_copy_shares_its_group() -> None:
    plain, mirrored = codes(20), codes(20, seed=1)
    plain.append(mirrored[5])
    mirrored.append(plain[5])
    groups = group_near_duplicates(plain, mirrored, 8)
    assert groups[20] == groups[5]


def test_a_chain_of_copies_is_one_group() -> None:
    first = codes(1)[0]
    chain = [first, with_flipped_bits(first, *range(7)), with_flipped_bits(first, *range(14))]
    groups = group_near_duplicates(chain, codes(3, seed=1), 8)
    assert set(groups.tolist()) == {0}


def test_groups_are_those_of_comparing_each_with_each() -> None:
    plain, mirrored = codes(60), codes(60, seed=1)
    generator = np.random.default_rng(2)
    for n in range(30, 60):
        flips = generator.choice(128, generator.integers(4, 13), replace=False)
        plain[n] = with_flipped_bits(plain[n - 30], *flips.tolist())
    groups = group_near_duplicates(plain, mirrored, 8)
    for n in range(30, 60):
        apart = (int(plain[n], 16) ^ int(plain[n - 30], 16)).bit_count()
        assert (groups[n] == groups[n - 30]) == (apart <= 8)


def test_many_identical_photos_are_one_group() -> None:
    groups = group_near_duplicates(codes(1) * 20_000, codes(1, seed=1) * 20_000, 8)
    assert set(groups.tolist()) == {0}


def test_no_group_is_divided_between_splits() -> None:
    groups = np.arange(600) // 4
    assigned = np.array(assign_splits(LABELS, groups, keys=KEYS, **SHARES))
    for group in np.unique(groups):
        assert len(set(assigned[groups == group].tolist())) == 1


def test_each_label_gets_its_share_of_every_split() -> None:
    assigned = np.array(assign_splits(LABELS, np.arange(600), keys=KEYS, **SHARES))
    for label, count in (("panda", 300), ("cat", 200), ("other", 100)):
        of_label = assigned[np.array(LABELS) == label]
        assert (of_label == "test").sum() == pytest.approx(0.2 * count, abs=1)
        assert (of_label == "validation").sum() == pytest.approx(0.15 * count, abs=1)


def test_a_photo_that_is_added_moves_few_others() -> None:
    before = assign_splits(LABELS, np.arange(600), keys=KEYS, **SHARES)
    key = hashlib.sha256(b"new").hexdigest()
    after = assign_splits(["panda", *LABELS], np.arange(601), keys=[key, *KEYS], **SHARES)
    assert sum(a != b for a, b in zip(before, after[1:], strict=True)) <= 2


def test_another_seed_gives_another_split() -> None:
    first, second = (
        assign_splits(LABELS, np.arange(600), keys=KEYS, **{**SHARES, "seed": seed})
        for seed in (1, 2)
    )
    assert first != second
