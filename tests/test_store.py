"""Shards and the index: what goes in comes out, however it is divided into files."""

from pathlib import Path

import pytest

from pandacat.data import store


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100])
def test_photos_come_back_in_order_from_as_many_shards_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 4)
    monkeypatch.setattr(store, "SHARD_BYTES", 800)
    photos = [(f"{number}.jpg", bytes([number]) * 100) for number in range(count)]
    store.write_shards(tmp_path, iter(photos))
    assert list(store.iter_jpegs(tmp_path)) == photos
    assert len(list(tmp_path.iterdir())) == -(-count // 8)


def test_rows_become_a_table_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 4)
    rows = store.RowBuffer(tmp_path / "rows", {"name": str, "width_px": int})
    for number in range(10):
        rows.append({"name": f"{number}.jpg", "width_px": number})
    table = rows.table()
    assert table.name.tolist() == [f"{number}.jpg" for number in range(10)]
    assert table.width_px.tolist() == list(range(10))
    assert not list(tmp_path.iterdir()), "nothing is left of the file in which they waited"


def test_no_rows_become_a_table_without_rows(tmp_path: Path) -> None:
    table = store.RowBuffer(tmp_path / "rows", {"name": str, "label": str}).table()
    assert (len(table), list(table.columns)) == (0, ["name", "label"])
