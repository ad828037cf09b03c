"""Names in zips are read as people's tools wrote them, and each has one spelling."""

import re
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from conftest import ROOT

from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError
from pandacat.data.sources import fetching
from pandacat.data.sources.archive import index_archive
from pandacat.data.sources.zip_files import open_archive
from pandacat.labels import OTHER

LABELS = {"panda": "panda", "cat": "cat", "dogs": OTHER}
WINDOWS, UNIX = 0, 3
UTF_8_FLAG = 0x800


def write_zip(
    path: Path,
    names: Sequence[str],
    encoding: str = "utf-8",
    *,
    flag: int = 0,
    system: int = UNIX,
    unicode_path: bool = False,
) -> Path:
    """Write a zip of files that hold `content`, as a tool that uses `encoding` for names."""
    files, index, content = b"", b"", b"content"
    for name in names:
        raw = name.encode(encoding)
        extra = b""
        if unicode_path:
            text = b"\1" + struct.pack("<L", crc32(raw)) + name.encode()
            extra = struct.pack("<2H", 0x7075, len(text)) + text
        facts = struct.pack("<4H", flag, 0, 0, 33)
        sizes = struct.pack("<3L2H", crc32(content), len(content), len(content), len(raw), 0)
        with_extra = sizes[:-2] + struct.pack("<H", len(extra))
        made_by = struct.pack("<2H", system << 8 | 20, 20)
        place = struct.pack("<3H2L", 0, 0, 0, 0, len(files))
        index += b"PK\1\2" + made_by + facts + with_extra + place + raw + extra
        files += b"PK\3\4" + struct.pack("<H", 20) + facts + sizes + raw + content
    end = struct.pack("<4H2LH", 0, 0, len(names), len(names), len(index), len(files), 0)
    path.write_bytes(files + index + b"PK\5\6" + end)
    return path


@pytest.mark.parametrize(
    ("encoding", "panda", "cat"),
    [
        ("gbk", "熊猫", "猫"),
        ("gbk", "大熊猫照片", "功夫猫表"),
        ("cp932", "パンダ", "猫の表ソ"),  # 表 and ソ end with the byte of a backslash
        ("cp949", "판다", "고양이"),
        ("big5", "貓熊許功蓋", "貓"),  # as do 許, 功 and 蓋
        ("cp437", "Großer Pandabär", "Kätzchen"),
        ("cp1252", "Großer Pandabär", "Kätzchen"),
        ("cp866", "большая панда", "кошка"),
        ("cp1251", "большая панда", "кошка"),
        ("utf-8", "熊猫", "кошка"),
    ],
)
def test_names_are_read_in_the_encoding_in_which_they_match_the_labels(
    tmp_path: Path, encoding: str, panda: str, cat: str
) -> None:
    names = [f"{panda}/{panda} 1.jpg", f"photos/{cat}/{cat}.jpg"]
    path = write_zip(tmp_path / "photos.zip", names, encoding)
    index = index_archive(path, {panda.casefold().replace("ß", "ss"): "panda", cat.lower(): "cat"})
    assert index.photos == dict(zip(sorted(names), ("panda", "cat"), strict=True)) or (
        index.photos == {names[1]: "cat", names[0]: "panda"}
    )
    assert index.encoding == encoding
    with open_archive(path, index.encoding) as reader:
        assert [reader.read(name) for name in names] == [b"content", b"content"]


def test_labels_decide_where_names_are_valid_in_utf_8_by_accident(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["猫/1.jpg"], "gbk")
    assert index_archive(path, {"猫": "cat"}).photos == {"猫/1.jpg": "cat"}
    assert index_archive(path, {"è": "cat"}).photos == {"è/1.jpg": "cat"}


def test_the_unicode_path_of_info_zip_counts_but_not_that_of_another_name(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["cat/猫.jpg", "panda/1.jpg"], "gbk", unicode_path=True)
    assert list(index_archive(path, LABELS).photos) == ["cat/猫.jpg", "panda/1.jpg"]
    path.write_bytes(
        path.read_bytes().replace(struct.pack("<L", crc32("cat/猫.jpg".encode("gbk"))), b"1234")
    )
    assert list(index_archive(path, LABELS, "gbk").photos) == ["cat/猫.jpg", "panda/1.jpg"]
    assert list(index_archive(path, LABELS).photos) != ["cat/猫.jpg", "panda/1.jpg"]


def test_marked_names_are_not_decoded_again(tmp_path: Path) -> None:
    names = ["cat/é.jpg", "panda/猫.jpg"]
    path = write_zip(tmp_path / "1.zip", names, flag=UTF_8_FLAG)
    assert list(index_archive(path, LABELS, "gbk").photos) == names


def test_a_guess_is_said_with_how_names_look_in_other_encodings(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["cat/花猫.jpg", "panda/1.jpg"], "gbk")
    said = str(index_archive(path, LABELS))
    assert "Names that are not marked as UTF-8: 1, read as cp437, such as cat/╗¿├¿.jpg" in said
    assert "(gbk: cat/花猫.jpg, " in said
    assert "archive_encoding" not in str(index_archive(path, LABELS, "gbk"))


def test_predictions_name_photos_in_zips_as_the_note_advises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_zip(tmp_path / "1.zip", ["猫/花猫.jpg"], "gbk"))
    with open_photos([path]) as photos:
        assert list(photos) != [f"{path}/猫/花猫.jpg"]
    said = capsys.readouterr().err
    assert f"{path}: Names that are not marked as UTF-8: 1" in said
    (encoding,) = re.findall(r"--encoding of .*?(\w+): 猫/花猫\.jpg", said)
    with open_photos([path], encoding) as photos:
        assert list(photos) == [f"{path}/猫/花猫.jpg"]
    assert capsys.readouterr().err == ""


def test_where_labels_are_missing_names_are_shown_in_other_encodings(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["猫/1.jpg", "熊猫/1.jpg"], "gbk")
    with pytest.raises(PandacatError, match=r"folders are .*gbk: 熊猫/1\.jpg.*Add the names"):
        index_archive(path, LABELS)
    index = index_archive(path, {"猫": "cat", "熊猫": "panda"})  # as the message says
    assert (index.encoding, len(index.photos)) == ("gbk", 2)


def test_the_encoding_of_params_is_used_and_travels_with_the_archive(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["cat/猫.jpg", "panda/1.jpg"], "cp949")
    config = load_config(ROOT / "params.yaml")
    photos = replace(config.photos, source="archive", archive=str(path), archive_encoding="cp949")
    origin, index = fetching.fetch(replace(config, photos=photos), tmp_path / "imported.zip")
    assert (origin.encoding, next(iter(index.photos))) == ("cp949", "cat/猫.jpg")


def test_an_encoding_that_does_not_fit_is_changed_as_the_message_says(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["cat/貓.jpg", "panda/1.jpg"], "big5")
    config = load_config(ROOT / "params.yaml")
    photos = replace(config.photos, source="archive", archive=str(path), archive_encoding="utf-8")
    target = tmp_path / "imported.zip"
    with pytest.raises(
        PandacatError, match="1 of which can't be in utf-8 and are read as cp437"
    ) as (refused):
        fetching.fetch(replace(config, photos=photos), target)
    assert "does not fit: leave it empty, or name another" in str(refused.value)
    assert not target.exists()
    (another,) = re.findall(r"(\w+): cat/貓\.jpg", str(refused.value))
    for encoding in (None, another):
        corrected = replace(config, photos=replace(photos, archive_encoding=encoding))
        _, index = fetching.fetch(corrected, target)
        assert len(index.photos) == 2
    assert "cat/貓.jpg" in index.photos


def test_predictions_say_that_an_encoding_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_zip(tmp_path / "1.zip", ["貓/1.jpg"], "big5"))
    with open_photos([path], "ascii"):
        said = capsys.readouterr().err
    assert "can't be in ascii and are read as cp437" in said
    assert "--encoding of `pandacat predict` (" in said


@pytest.mark.parametrize("given", ["utf-8", "cp1252"])
def test_where_labels_are_missing_the_given_encoding_is_doubted(tmp_path: Path, given: str) -> None:
    path = write_zip(tmp_path / "1.zip", ["貓/1.jpg", "熊貓/1.jpg"], "big5")
    labels = {"貓": "cat", "熊貓": "panda"}
    with pytest.raises(PandacatError, match=r"set photos\.archive_encoding .*guessed if none is"):
        index_archive(path, labels, given)
    assert len(index_archive(path, labels).photos) == 2  # as the message says


def test_a_name_that_an_encoding_lacks_leaves_the_others(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "1.zip", ["cat/1\x80.jpg", "panda/2.jpg"], "latin-1")
    assert list(index_archive(path, LABELS, "ascii").photos) == ["cat/1Ç.jpg", "panda/2.jpg"]


@pytest.mark.parametrize(
    ("names", "system", "photos"),
    [
        (["a\\cat\\1.jpg", "panda\\2.jpg"], UNIX, ["a/cat/1.jpg", "panda/2.jpg"]),
        (["a/cat\\1.jpg", "panda\\2.jpg"], WINDOWS, ["a/cat/1.jpg", "panda/2.jpg"]),
        (["cat/dogs\\1.jpg", "panda/2\\.jpg"], UNIX, ["cat/dogs\\1.jpg", "panda/2\\.jpg"]),
    ],
)
def test_a_backslash_separates_folders_only_in_archives_that_use_it_so(
    tmp_path: Path, names: list[str], system: int, photos: list[str]
) -> None:
    path = write_zip(tmp_path / "1.zip", names, system=system)
    assert index_archive(path, LABELS).photos == dict(zip(photos, ("cat", "panda"), strict=True))


def test_accents_are_composed_unless_that_makes_one_name_of_two(tmp_path: Path) -> None:
    one, another = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    decomposed = write_zip(tmp_path / "1.zip", [f"cat/{another}.jpg", "panda/1.jpg"])
    assert list(index_archive(decomposed, LABELS).photos) == [f"cat/{one}.jpg", "panda/1.jpg"]
    names = [f"cat/{another}.jpg", f"cat/{one}.jpg", "panda/1.jpg"]
    assert list(index_archive(write_zip(tmp_path / "2.zip", names), LABELS).photos) == names


def test_no_name_is_a_formula_to_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=1+1/cat/1.jpg", "@SUM(1)/panda/1.jpg", "-/dogs/1.jpg"]
    path = write_zip(tmp_path / "1.zip", names)
    assert set(index_archive(path, LABELS).photos) == {f"./{name}" for name in names}
