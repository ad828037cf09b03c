"""What messages about photos, archives and labels advise helps, when it is obeyed to the letter."""

import io
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from conftest import ROOT
from image_files import saved_as, tiff_of
from PIL import Image
from ruamel.yaml import YAML

from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config, parse_config
from pandacat.core.errors import PandacatError
from pandacat.data.images import UnreadablePhotoError, decode_photo
from pandacat.data.preprocess import preprocess, read_exclusions
from pandacat.data.provenance import Provenance
from pandacat.data.sources.archive import index_archive
from pandacat.data.sources.importing import find_archive, import_archive
from pandacat.data.sources.zip_files import EntryError, open_archive, open_zip
from pandacat.labels import imagenet_classes

PARAMS = ROOT / "params.yaml"
CONFIG = load_config(PARAMS)
LABELS = {"cat": "cat", "panda": "panda"}


def message_of(action: Callable[[], object]) -> str:
    """Return what `action` raises for the user."""
    with pytest.raises((PandacatError, UnreadablePhotoError, ValueError)) as raised:
        action()
    return str(raised.value)


def picture(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((90, 80)).save(stream, "PNG")
    return stream.getvalue()


def write_zip(path: Path, names: Iterable[str]) -> Path:
    """Write a zip of empty files; return its path."""
    with zipfile.ZipFile(path, "w") as packed, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of names that are there twice
        for name in names:
            packed.writestr(name, b"")
    return path


def read_folder(folder: Path) -> list[str]:
    """Return the names of the photos of a folder, as `photos.archive` takes them."""
    archive = folder.with_suffix(".zip")
    import_archive(folder, archive)
    return [*index_archive(archive, LABELS).photos]


@pytest.mark.parametrize("name", ["../cat/2.jpg", "/cat/2.jpg", "cat/1.jpg", "cat/2\n.jpg"])
def test_a_refused_archive_is_read_as_a_folder(tmp_path: Path, name: str) -> None:
    archive = write_zip(tmp_path / "photos.zip", ["panda/1.jpg", "cat/1.jpg", name])
    message = message_of(lambda: index_archive(archive, LABELS))
    assert re.search(r"If you trust it, unpack it(, rename .*,)? and give the folder", message)
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    if "\n" in name:
        assert "rename what still has such a name" in message
        message = message_of(lambda: read_folder(folder))
        assert message.endswith("names with control characters: 1 (cat/2\\n.jpg). Rename them.")
        (folder / name).rename(folder / "cat/2.jpg")
    assert {"panda/1.jpg", "cat/1.jpg"} <= {*read_folder(folder)}


DEFLATE64 = 9


def pack_by_deflate64(archive: Path, folders: Iterable[str]) -> None:
    """Say of the files in these folders that they are compressed by Deflate64, and compress all."""
    data = bytearray(archive.read_bytes())
    for start, method, name in ((b"PK\x03\x04", 8, 30), (b"PK\x01\x02", 10, 46)):
        for found in re.finditer(re.escape(start), bytes(data)):
            place = found.start()
            if data[place + name :].startswith(tuple(folder.encode() for folder in folders)):
                data[place + method : place + method + 2] = struct.pack("<H", DEFLATE64)
    archive.write_bytes(data)


def test_an_archive_of_an_unsupported_compression_is_read_as_a_folder(tmp_path: Path) -> None:
    names = ["cat/1.jpg", "panda/1.jpg", "panda/2.jpg"]
    archive = write_zip(tmp_path / "photos.zip", names)
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    pack_by_deflate64(archive, ["panda/"])
    message = message_of(lambda: index_archive(archive, LABELS))
    assert message.startswith("2 of 3 photos in the archive are compressed by a method that Python")
    assert message.endswith("(panda/1.jpg, panda/2.jpg): unpack it and give the folder instead.")
    assert read_folder(tmp_path / "unpacked") == names


def test_a_few_photos_of_an_unsupported_compression_are_left_out_with_advice(
    tmp_path: Path,
) -> None:
    archive = write_zip(tmp_path / "photos.zip", ["cat/1.jpg", "panda/1.jpg"])
    pack_by_deflate64(archive, ["panda/"])
    assert len(index_archive(archive, LABELS).photos) == 2
    with open_archive(archive) as reader:
        assert reader.read("cat/1.jpg") == b""
        with pytest.raises(EntryError, match="unsupported method: unpack the archive"):
            reader.read("panda/1.jpg")


def test_a_file_whose_name_is_no_text_is_read_under_another(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("panda/1.jpg", "cat/1.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    odd = folder / os.fsdecode(b"cat/caf\xe9.jpg")
    odd.touch()
    assert message_of(lambda: read_folder(folder)).endswith("Rename them.")
    odd.rename(folder / "cat/café.jpg")
    assert "cat/café.jpg" in read_folder(folder)


@pytest.mark.parametrize("form", ["tar", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("name", ["", "photos", "photos.zip"])
def test_an_archive_that_is_no_zip_is_read_when_it_is_unpacked(
    tmp_path: Path, form: str, name: str
) -> None:
    for photo in ("panda/1.png", "cat/1.png"):
        (tmp_path / "mine" / photo).parent.mkdir(parents=True)
        (tmp_path / "mine" / photo).write_bytes(picture(1))
    packed = Path(shutil.make_archive(str(tmp_path / "mine"), form, tmp_path / "mine"))
    archive = packed.rename(tmp_path / (name or packed.name))
    message = message_of(lambda: import_archive(archive, tmp_path / "imported.zip"))
    assert "is an archive, but no zip (" in message
    assert message.endswith("): unpack it and give the folder.")
    shutil.unpack_archive(archive, tmp_path / "unpacked", form)
    assert read_folder(tmp_path / "unpacked") == ["cat/1.png", "panda/1.png"]

    message = message_of(lambda: decode_photo(archive.read_bytes(), image_px=64, max_megapixels=1))
    assert message.endswith("): unpack it, and give the photos that were in it")
    with open_photos([str(tmp_path / "unpacked")]) as photos:
        for read in photos.values():
            assert decode_photo(read(), image_px=64, max_megapixels=1).width_px == 90


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("photos.7z", b""), ("photos.RAR", b""), ("photos.tar.zst", b""), ("disk.iso", b"")),
        *(
            ("a", b"7z\xbc\xaf\x27\x1c\0\4"),
            ("a.zip", b"Rar!\x1a\7\1\0"),
            ("a", b"\x28\xb5\x2f\xfd"),
        ),
    ],
)
def test_an_archive_is_known_by_how_it_begins_or_else_by_its_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    archive = tmp_path / name
    archive.write_bytes(content)
    assert "unpack it and give the folder" in message_of(lambda: open_zip(archive).__enter__())


def test_an_incomplete_zip_can_be_got_again_or_given_as_a_folder(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "photos.zip", ["panda/1.jpg", "cat/1.jpg"])
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-30])
    message = message_of(lambda: import_archive(archive, tmp_path / "imported.zip"))
    assert "get it again, or give a folder" in message
    archive.write_bytes(whole)
    import_archive(archive, tmp_path / "imported.zip")
    shutil.unpack_archive(archive, tmp_path / "folder")
    assert read_folder(tmp_path / "folder") == ["cat/1.jpg", "panda/1.jpg"]


@pytest.mark.parametrize("step", ["add the names", "put the photos into folders"])
def test_an_archive_with_folders_of_other_names_gets_its_labels(tmp_path: Path, step: str) -> None:
    files = ["Katzen (1)/1.jpg", "panda/1.jpg"]
    archive = write_zip(tmp_path / "photos.zip", files)
    message = message_of(lambda: index_archive(archive, LABELS))
    folder, label = re.findall(
        r"folders are (.+) \(1\), panda.* to labels\.(\w+)\.folders", message
    )[0]
    assert step in message.lower()
    if step == "add the names":
        index = index_archive(archive, LABELS | {folder.lower(): label})
    else:
        moved = [name.replace(folder, label) for name in files]
        index = index_archive(write_zip(archive, moved), LABELS)
    assert {*index.photos.values()} == {"cat", "panda"}


@pytest.mark.parametrize("folder", ["recycled", "files_trashbin", "cats~", ".cats"])
def test_a_folder_with_a_hidden_name_is_read_when_it_is_renamed(
    tmp_path: Path, folder: str
) -> None:
    archive = write_zip(tmp_path / "photos.zip", [f"{folder}/1.jpg", "panda/1.jpg"])
    message = message_of(lambda: index_archive(archive, {folder: "cat", "panda": "panda"}))
    assert f"folders named {folder} are not read" in message
    assert message.endswith("rename the folders, in params.yaml, too.")
    renamed = write_zip(archive, ["my cats/1.jpg", "panda/1.jpg"])
    index = index_archive(renamed, {"my cats": "cat", "panda": "panda"})
    assert index.photos == {"my cats/1.jpg": "cat", "panda/1.jpg": "panda"}


def test_archives_inside_an_archive_are_read_when_they_are_unpacked(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "cats.zip", ["cat/1.jpg"])
    outer = tmp_path / "photos.zip"
    with zipfile.ZipFile(outer, "w") as packed:
        packed.write(inner, "cats.zip")
        packed.writestr("panda/1.jpg", b"")
    assert "(1) are not opened: unpack them first" in message_of(
        lambda: index_archive(outer, LABELS)
    )
    shutil.unpack_archive(outer, tmp_path / "all")
    shutil.unpack_archive(tmp_path / "all/cats.zip", tmp_path / "all")
    assert read_folder(tmp_path / "all") == ["cat/1.jpg", "panda/1.jpg"]


def test_a_path_that_was_cut_is_found_whole(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "cats, and pandas.zip", [])
    message = message_of(lambda: find_archive(str(tmp_path / "cats"), "photos.archive"))
    meant = re.findall("is '(.+)' meant", message)[0]
    assert find_archive(str(tmp_path / meant), "photos.archive") == archive


def test_a_folder_without_photos_is_given_by_its_files(tmp_path: Path) -> None:
    odd = tmp_path / "empty.data"
    odd.touch()
    message = message_of(lambda: open_photos([str(tmp_path)]).__enter__())
    assert "or the files, whatever their ending" in message
    with open_photos([str(odd)]) as photos:
        assert [*photos] == [str(odd)]


def preprocessed(tmp_path: Path, counts: Mapping[str, int], **params: Any) -> dict[str, object]:
    """Return the counts of so many photos by folder; those in `same` are equal."""
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for folder, count in counts.items():
            for number in range(count):
                seed = 0 if "same" in folder else crc32(f"{folder}/{number}".encode())
                packed.writestr(f"{folder}/{number}.png", picture(seed))
    config = replace(CONFIG, preprocess=replace(CONFIG.preprocess, **params))
    origin = Provenance("a test", "archive", "here")
    return preprocess(archive, origin, tmp_path / "photos", config, exclusions={})


def test_too_few_photos_are_enough_when_some_are_added_or_the_limit_is_lowered(
    tmp_path: Path,
) -> None:
    few = {"panda": 8, "cat": 12}
    message = message_of(lambda: preprocessed(tmp_path, few, min_photos_per_label=10))
    usable, needed = map(int, re.findall(r"Only (\d+) of .*, and (\d+) are needed", message)[0])
    assert message.endswith("add photos, or lower preprocess.min_photos_per_label.")
    assert preprocessed(tmp_path, few, min_photos_per_label=usable)["photos"] == 20
    assert preprocessed(tmp_path, few | {"panda": needed}, min_photos_per_label=10)["photos"] == 22


def test_a_label_of_near_duplicates_reaches_all_splits_when_others_are_added(
    tmp_path: Path,
) -> None:
    same = {"panda/same": 8, "cat": 12}
    message = message_of(lambda: preprocessed(tmp_path, same, min_photos_per_label=5))
    assert re.match("No photo of panda is left for .* its 1 photos.* Add others", message)
    preprocessed(tmp_path, same | {"panda/more": 8}, min_photos_per_label=5)


def test_without_folders_for_splits_photos_are_split_at_random(tmp_path: Path) -> None:
    counts = {"panda": 8, "cat": 8}
    given = {"min_photos_per_label": 5, "split": "archive"}
    message = message_of(lambda: preprocessed(tmp_path, counts, **given))
    assert message.endswith("set it to random.")
    assert preprocessed(tmp_path, counts, **given | {"split": "random"})["photos"] == 16


def test_a_photo_beyond_the_limit_is_read_when_that_is_raised() -> None:
    message = message_of(lambda: decode_photo(picture(0), image_px=64, max_megapixels=0.005))
    assert message == "more than 0.005 megapixels: preprocess.max_megapixels sets the limit"
    assert decode_photo(picture(0), image_px=64, max_megapixels=0.01).width_px == 90


def test_a_heic_is_read_when_it_is_saved_as_jpeg() -> None:
    heic = b"\0\0\0\x18ftypheic" + bytes(100)
    read = {"image_px": 64, "max_megapixels": 1}
    assert "save it as JPEG" in message_of(lambda: decode_photo(heic, **read))
    stream = io.BytesIO()
    Image.new("RGB", (80, 80)).save(stream, "JPEG")
    assert decode_photo(stream.getvalue(), **read).mode == "RGB"


def test_a_tiff_that_is_not_read_is_read_when_it_is_saved_as_png_or_jpeg() -> None:
    shades = np.linspace(0, 1, 80 * 90 * 3, dtype=np.float32).reshape(80, 90, 3)
    read = {"image_px": 64, "max_megapixels": 1}
    data = tiff_of(shades, {339: [3, 3, 3]})
    message = message_of(lambda: decode_photo(data, **read))
    assert message == "a kind of TIFF that is not read: save it as JPEG or PNG"
    image = Image.fromarray((shades * 255).astype(np.uint8))
    for form in ("JPEG", "PNG"):
        assert decode_photo(saved_as(image, form), **read).mode == "RGB"


def test_inks_read_as_a_negative_are_read_right_when_saved_in_rgb() -> None:
    white = Image.new("RGB", (80, 80), "white")
    reversed_inks = Image.eval(white.convert("CMYK"), lambda value: 255 - value)
    read = {"image_px": 64, "max_megapixels": 1}
    negative = decode_photo(saved_as(reversed_inks, "JPEG"), **read)
    assert negative.image.getpixel((9, 9)) == (0, 0, 0)
    assert "unless saved in RGB" in negative.notes[0]
    photo = decode_photo(saved_as(white, "JPEG"), **read)
    assert (photo.image.getpixel((9, 9)), photo.notes) == ((255, 255, 255), ())


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("cat/1.jpg", "cat/1.jpg,"),
        ("cat/1, 2.jpg,blurred", '"cat/1, 2.jpg",blurred'),
        ("cat/1.jpg,dark, blurred", 'cat/1.jpg,"dark, blurred"'),
    ],
)
def test_exclusions_are_read_when_they_have_one_comma(
    tmp_path: Path, line: str, corrected: str
) -> None:
    path = tmp_path / "exclusions.csv"
    path.write_text(f"path,reason\n{line}\n")
    message = message_of(lambda: read_exclusions(path))
    assert message.endswith('needs one comma; put others in "…"')
    path.write_text(f"path,reason\n{corrected}\n")
    assert len(read_exclusions(path)) == 1


@pytest.mark.parametrize("entry", ["giant pandas", "fox", "raccoon", 1000])
def test_each_class_that_is_suggested_is_one_of_imagenets(entry: str | int) -> None:
    message = message_of(lambda: imagenet_classes([entry]))
    suggested = re.findall("; is (.+) meant[?]", message)
    for name in suggested[0].split(" or ") if suggested else []:
        assert len(imagenet_classes([name])) == 1
    if isinstance(entry, str):
        assert message.endswith("write []")
        assert imagenet_classes([]) == ()


def test_a_misspelt_parameter_is_right_when_it_is_called_as_suggested() -> None:
    content = YAML(typ="safe", pure=True).load(PARAMS)
    content["preprocess"]["test_shar"] = content["preprocess"].pop("test_share")
    message = message_of(lambda: parse_config(content))
    wrong, right = re.findall(r"preprocess\.(\w+): .* is (\w+) meant", message)[0]
    content["preprocess"][right] = content["preprocess"].pop(wrong)
    assert parse_config(content) == CONFIG


def test_the_source_archive_is_right_with_the_path_that_is_asked_for(tmp_path: Path) -> None:
    content = YAML(typ="safe", pure=True).load(PARAMS)
    content["photos"]["source"] = "archive"
    message = message_of(lambda: parse_config(content))
    assert "needs photos.archive, the path of a zip or folder" in message
    content["photos"]["archive"] = str(tmp_path)
    assert parse_config(content).photos.archive == str(tmp_path)
