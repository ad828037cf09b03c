"""Archives of photos: zips and folders, safe ones and others."""

import os
import re
import stat
import struct
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from conftest import ROOT, make_unopenable

from pandacat.config.loading import load_config
from pandacat.config.photos import LabelParams, folded
from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.data.sources import fetching, zip_files
from pandacat.data.sources.archive import index_archive
from pandacat.data.sources.entry_names import entry_names
from pandacat.data.sources.importing import find_archive, import_archive
from pandacat.data.sources.zip_files import EntryError, open_archive
from pandacat.labels import OTHER

CONFIG = load_config(ROOT / "params.yaml")
LABEL_OF_FOLDER = {
    "panda": "panda",
    folded("Großer_Pandabär"): "panda",
    "cat": "cat",
    "cats": "cat",
    "dogs": OTHER,
}
PHOTOS = {"panda/1.jpg": b"panda", "cat/1.jpg": b"cat"}


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip with these files and, by default, a panda and a cat."""

    def write(files: dict[str, bytes] | None = None, *, photos: bool = True) -> Path:
        path = tmp_path / "photos.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in ((PHOTOS if photos else {}) | (files or {})).items():
                packed.writestr(name, content)
        return path

    return write


def labels(path: Path) -> dict[str, str]:
    return index_archive(path, LABEL_OF_FOLDER).photos


def test_the_nearest_folder_that_stands_for_a_label_counts(zipped: Callable[..., Path]) -> None:
    path = zipped(
        {
            "a/b/cats/kittens/2.jpg": b"",
            "cats/PANDA/2.jpg": b"",
            "Gro\u00dfer_Pandaba\u0308r/3.jpg": b"",
            "GROSSER_PANDAB\u00c4R. /4.jpg": b"",
        }
    )
    assert labels(path) == {
        "panda/1.jpg": "panda",
        "cat/1.jpg": "cat",
        "a/b/cats/kittens/2.jpg": "cat",
        "cats/PANDA/2.jpg": "panda",
        "Gro\u00dfer_Pandab\u00e4r/3.jpg": "panda",
        "GROSSER_PANDAB\u00c4R. /4.jpg": "panda",
    }


def test_files_are_sorted_by_name_and_read_back(zipped: Callable[..., Path]) -> None:
    path = zipped({"cat/0.jpg": b"another"})
    names = list(labels(path))
    assert names == ["cat/0.jpg", "cat/1.jpg", "panda/1.jpg"]
    with open_archive(path) as reader:
        assert list(map(reader.read, names)) == [b"another", b"cat", b"panda"]


def test_what_is_ignored_is_counted_by_reason(zipped: Callable[..., Path]) -> None:
    path = zipped(
        {
            "birds/1.jpg": b"",
            "birds/2.jpg": b"",
            "3.jpg": b"",
            "readme.txt": b"",
            "cat/LICENSE": b"",
            "cat/film.mp4": b"\0\0\0\x18ftypisom",
            "__MACOSX/cat/._1.jpg": b"",
            "cat/.DS_Store": b"",
            "cat/Thumbs.db": b"",
            "cat/Icon\r": b"",
            "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": b"",
            "cat/.thumbnails/1.jpg": b"",
            "$RECYCLE.BIN/cat/1.jpg": b"",
            ".Trash-1000/files/cat/1.jpg": b"",
            "cat/more.zip": b"",
        }
    )
    index = index_archive(path, LABEL_OF_FOLDER)
    assert index.unlabeled == {"birds": 2, "(top)": 1}
    assert index.counts() == {
        "files": {"panda": 1, "cat": 1, "other": 0},
        "ignored": {
            "unlabeled": 3,
            "nested_archives": 1,
            "links": 0,
            "hidden": 8,
            "not_photos": 1,
            "documents": 2,
        },
    }
    assert "birds (2)" in str(index)
    assert "ignored: 1 not photos (cat/film.mp4)\n" in str(index)
    assert "documents" not in str(index)


def test_links_inside_a_zip_are_ignored(zipped: Callable[..., Path]) -> None:
    path = zipped()
    link = zipfile.ZipInfo("cat/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(link, "/etc/passwd")
    assert index_archive(path, LABEL_OF_FOLDER).ignored["links"] == ["cat/link.jpg"]
    assert "cat/link.jpg" not in labels(path)


def test_a_missing_label_is_named_with_the_folders_of_the_archive_and_the_parameter(
    zipped: Callable[..., Path],
) -> None:
    path = zipped({"cats/1.jpg": b"", "ailuropoda/1.jpg": b""}, photos=False)
    with pytest.raises(
        PandacatError, match=r"no photos of panda;.*ailuropoda \(1\).*labels\.panda\.folders"
    ):
        index_archive(path, LABEL_OF_FOLDER)


@pytest.mark.parametrize(
    ("files", "step"),
    [
        (["1.jpg"], r"labels\.panda\.folders and labels\.cat\.folders.*, or put the photos into"),
        (
            ["all.zip"],
            r"but nested archives \(1\)\. Archives inside it \(1\) are not opened: unpack them "
            r"first\.$",
        ),
    ],
)
def test_where_no_folder_can_be_named_the_next_step_is_another(
    zipped: Callable[..., Path], files: list[str], step: str
) -> None:
    path = zipped(dict.fromkeys(files, b""), photos=False)
    with pytest.raises(PandacatError, match=step):
        index_archive(path, LABEL_OF_FOLDER)


def test_an_archive_needs_photos_of_the_labels_of_the_run_and_of_no_others(
    zipped: Callable[..., Path],
) -> None:
    path = zipped({"cats/1.jpg": b""}, photos=False)
    index = index_archive(path, {"cats": "cat"})
    assert (len(index.photos), index.labels) == (1, ("cat", OTHER))
    assert index.counts()["files"] == {"cat": 1, OTHER: 0}
    with pytest.raises(
        PandacatError,
        match=r"no photos of red panda and fox;.*labels\.red_panda\.folders and labels\.fox\.",
    ):
        index_archive(path, {"cats": "cat", "reds": "red_panda", "foxes": "fox", "dogs": OTHER})


@pytest.mark.parametrize(
    ("files", "held"),
    [
        ([], "nothing"),
        (["README.md", "cat/LICENSE"], r"documents \(2\)"),
        (["cat/.1.jpg", "README.md"], r"hidden \(1\), documents \(1\)"),
    ],
)
def test_of_an_archive_without_photos_is_said_what_it_holds(
    zipped: Callable[..., Path], files: list[str], held: str
) -> None:
    path = zipped(dict.fromkeys(files, b""), photos=False)
    expected = f"holds no photos, but {held}\\. Give one that has photos in folders named"
    with pytest.raises(PandacatError, match=expected):
        index_archive(path, LABEL_OF_FOLDER)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../cat/2.jpg", "point outside"),
        ("cat/../../2.jpg", "point outside"),
        ("cat\\..\\..\\2.jpg", "point outside"),
        ("/cat/2.jpg", "point outside"),
        ("C:\\cat\\2.jpg", "point outside"),
        ("cat/\x1b[2J.jpg", "control characters"),
    ],
)
def test_unsafe_names_are_refused(zipped: Callable[..., Path], name: str, reason: str) -> None:
    with pytest.raises(PandacatError, match=f"refused: .*{reason}.*give the folder instead"):
        index_archive(zipped({name: b""}), LABEL_OF_FOLDER)


def test_all_unsafe_names_are_named_at_once(zipped: Callable[..., Path], tmp_path: Path) -> None:
    odd = [f"cat/{letter}\r.jpg" for letter in "abcdefghijklmno"]
    path = zipped(dict.fromkeys([*odd, "../x.jpg", "cat/Icon\r"], b""))
    expected = r"control characters: 15 \(cat/a\\r\.jpg, cat/b\\r\.jpg, cat/c\\r\.jpg, …\)"
    with pytest.raises(PandacatError, match=f"{expected}; names that point outside it: 1"):
        index_archive(path, LABEL_OF_FOLDER)
    names = [*odd, os.fsdecode(b"cat/caf\xe9.jpg"), os.fsdecode(b"cat/\xfc.jpg")]
    folder = folder_with(tmp_path / "photos", PHOTOS | dict.fromkeys(names, b""))
    with pytest.raises(PandacatError, match=expected + r"; .* UTF-8.*: 2 \(.*\)\. Rename them\."):
        import_archive(folder, tmp_path / "packed.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_for_two_files_is_refused(zipped: Callable[..., Path]) -> None:
    path = zipped()
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("cat/1.jpg", b"another")
    with pytest.raises(PandacatError, match=r"two files named 'cat/1\.jpg'"):
        index_archive(path, LABEL_OF_FOLDER)


def test_names_that_differ_in_case_or_spelling_are_two_files(zipped: Callable[..., Path]) -> None:
    names = {"cat/A.jpg": b"1", "cat/a.jpg": b"2", "cat/\u00e9.jpg": b"3", "cat/e\u0301.jpg": b"4"}
    path = zipped(names)
    with open_archive(path) as reader:
        assert {name: reader.read(name) for name in names} == names
    assert set(names) < set(labels(path))


def test_encrypted_files_are_refused(zipped: Callable[..., Path]) -> None:
    path = zipped()
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 8] |= 0x1
    path.write_bytes(content)
    with pytest.raises(PandacatError, match=r"is encrypted.*unpack it"):
        index_archive(path, LABEL_OF_FOLDER)


def test_files_that_overlap_are_refused(zipped: Callable[..., Path]) -> None:
    path = zipped({"cat/2.jpg": bytes(100)})
    content = bytearray(path.read_bytes())
    entries = [i for i in range(len(content)) if content[i : i + 4] == b"PK\x01\x02"]
    content[entries[2] + 42 : entries[2] + 46] = content[entries[1] + 42 : entries[1] + 46]
    path.write_bytes(content)
    with pytest.raises(PandacatError, match="overlap"):
        index_archive(path, LABEL_OF_FOLDER)


def test_a_bomb_is_not_unpacked(zipped: Callable[..., Path]) -> None:
    path = zipped({"cat/bomb.jpg": bytes(20 << 20)})
    with open_archive(path) as reader:
        with pytest.raises(EntryError, match="250 times"):
            reader.read("cat/bomb.jpg")
        assert reader.read("cat/1.jpg") == b"cat"


def test_a_file_too_large_is_not_unpacked(
    zipped: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_files, "LARGEST_FILE_BYTES", 1 << 20)
    path = zipped({"cat/film.mp4": os.urandom(2 << 20)})
    with open_archive(path) as reader, pytest.raises(EntryError, match="larger than 1 MiB"):
        reader.read("cat/film.mp4")


@pytest.mark.parametrize("claimed", [10, 300])
def test_a_file_of_another_size_than_it_claims_is_not_read(
    zipped: Callable[..., Path], claimed: int
) -> None:
    path = zipped({"cat/2.jpg": os.urandom(200)})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", claimed)
    path.write_bytes(content)
    with open_archive(path) as reader, pytest.raises(EntryError, match="can't be unpacked"):
        reader.read("cat/2.jpg")


def test_a_damaged_file_leaves_the_others_readable(zipped: Callable[..., Path]) -> None:
    path = zipped({"cat/2.jpg": os.urandom(1000)})
    content = bytearray(path.read_bytes())
    start = content.index(b"cat/2.jpg") + 500
    content[start : start + 10] = b"\xff" * 10
    path.write_bytes(content)
    with open_archive(path) as reader:
        with pytest.raises(EntryError):
            reader.read("cat/2.jpg")
        assert reader.read("panda/1.jpg") == b"panda"


@pytest.mark.parametrize("length", [0, 10, 150, -1])
def test_a_part_of_a_zip_is_refused(zipped: Callable[..., Path], length: int) -> None:
    path = zipped()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PandacatError, match=r"photos\.zip is not a zip file, or incomplete"):
        index_archive(path, LABEL_OF_FOLDER)


def test_a_damaged_zip_raises_nothing_but_our_own_errors(
    zipped: Callable[..., Path], tmp_path: Path
) -> None:
    original = zipped({"cat/2.jpg": bytes(range(256)) * 4}).read_bytes()
    path = tmp_path / "mutant.zip"
    for position in range(0, len(original), 3):
        mutant = bytearray(original)
        mutant[position] ^= 1 << position % 8
        mutant[-position - 1] = position % 256
        path.write_bytes(mutant)
        try:
            index = index_archive(path, dict.fromkeys(LABEL_OF_FOLDER, OTHER))
        except PandacatError:
            continue
        with zipfile.ZipFile(path) as opened, open_archive(path, index.encoding) as reader:
            names = entry_names(opened.infolist(), index.encoding)
            entries = dict(zip(names, opened.infolist(), strict=True))
            for name in index.photos:
                with suppress(EntryError):
                    assert len(reader.read(name)) == entries[name].file_size


def zip_of_empty_files(names: list[str]) -> bytes:
    """Return a zip; a hundred times faster than `zipfile`, which is not under test here."""
    files, index, offset = [], [], 0
    for name in map(str.encode, names):
        files.append(
            b"PK\3\4" + struct.pack("<5H3L2H", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
        )
        facts = struct.pack(
            "<6H3L5H2L", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, offset
        )
        index.append(b"PK\1\2" + facts + name)
        offset += len(files[-1])
    size = sum(map(len, index))
    end64 = struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, len(names), len(names), size, offset)
    locator = struct.pack("<LQL", 0, offset + size, 1)
    end = struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, size, offset, 0)
    return b"".join([*files, *index, b"PK\6\6", end64, b"PK\6\7", locator, b"PK\5\6", end])


def test_100_000_files_are_listed_in_seconds(tmp_path: Path) -> None:
    folders = ("panda", "cats", "birds")
    path = tmp_path / "many.zip"
    path.write_bytes(zip_of_empty_files([f"{folders[i % 3]}/{i}.jpg" for i in range(100_000)]))
    started = time.perf_counter()
    assert len(index_archive(path, LABEL_OF_FOLDER).photos) == 66_667
    assert time.perf_counter() - started < 10


def test_a_zip_is_copied_byte_for_byte_and_not_linked(
    zipped: Callable[..., Path], tmp_path: Path
) -> None:
    given, copy = zipped(), tmp_path / "data/photos.zip"
    import_archive(given, copy)
    assert copy.read_bytes() == given.read_bytes()
    assert copy.stat().st_ino != given.stat().st_ino


def folder_with(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def test_a_packed_folder_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    files = PHOTOS | {"cat/deep/er/2.jpg": b"2"}
    one = folder_with(tmp_path / "one", files)
    other = folder_with(tmp_path / "other", dict(reversed(files.items())))
    os.utime(other / "cat/1.jpg", (1, 1))
    (other / "cat/1.jpg").chmod(0o600)
    import_archive(one, tmp_path / "one.zip")
    import_archive(other, tmp_path / "other.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()
    assert labels(tmp_path / "one.zip") == {
        "panda/1.jpg": "panda",
        "cat/1.jpg": "cat",
        "cat/deep/er/2.jpg": "cat",
    }


def test_hidden_files_and_pipes_stay_out_of_a_packed_folder(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "photos", PHOTOS | {".git/cat/1": b"", "cat/.hidden": b""})
    os.mkfifo(folder / "cat/pipe")
    import_archive(folder, tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as packed:
        assert packed.namelist() == sorted(PHOTOS)


def test_links_to_files_and_folders_are_followed_and_loops_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = folder_with(tmp_path / "store", {"1.jpg": b"1", "deep/2.jpg": b"2"})
    folder = folder_with(tmp_path / "photos", {"panda/1.jpg": b""})
    (folder / "panda/link.jpg").symlink_to(store / "1.jpg")
    (folder / "cat").symlink_to(store)
    (folder / "cats").symlink_to(store)
    (store / "deep/up").symlink_to(store)
    (folder / "panda/all").symlink_to(folder)
    (folder / "panda/lost.jpg").symlink_to(tmp_path / "nowhere")
    import_archive(folder, tmp_path / "photos.zip")
    assert list(labels(tmp_path / "photos.zip")) == [
        *("cat/1.jpg", "cat/deep/2.jpg", "panda/1.jpg", "panda/link.jpg"),
    ]
    said = capsys.readouterr().err
    assert "links that lead nowhere: 1, such as" in said
    assert "lost.jpg" in said
    assert re.search("photos/cats and .*photos/cat are links to one folder", said)


def test_many_folders_that_link_to_each_other_are_packed_in_seconds(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "photos", {f"{n}/1.jpg": b"" for n in range(12)})
    for one, another in product(range(12), repeat=2):
        (folder / f"{one}/to-{another}").symlink_to(folder / str(another))
    started = time.perf_counter()
    import_archive(folder, tmp_path / "photos.zip")
    assert time.perf_counter() - started < 5


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PandacatError, match="empty holds no files"):
        import_archive(tmp_path / "empty", tmp_path / "photos.zip")


def test_a_folder_that_cannot_be_opened_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "photos/panda").mkdir(parents=True)
    (tmp_path / "photos/panda/1.jpg").touch()
    make_unopenable(tmp_path / "photos")
    with pytest.raises(OSError, match="File name too long"):
        import_archive(tmp_path / "photos", tmp_path / "photos.zip")
    assert not (tmp_path / "photos.zip").exists()


def test_a_file_name_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "photos", PHOTOS)
    (folder / "cat" / os.fsdecode(b"caf\xe9.jpg")).touch()
    with pytest.raises(PandacatError, match=r"not valid UTF-8.*: 1 \(cat/caf.*Rename"):
        import_archive(folder, tmp_path / "photos.zip")


@pytest.mark.parametrize(
    ("make", "error"), [(Path.mkdir, IsADirectoryError), (Path.exists, FileNotFoundError)]
)
def test_an_archive_that_is_missing_or_a_folder_is_an_error_with_its_name(
    tmp_path: Path, make: Callable[[Path], object], error: type[OSError]
) -> None:
    make(tmp_path / "photos.zip")
    with pytest.raises(error, match=r"photos\.zip"):
        index_archive(tmp_path / "photos.zip", LABEL_OF_FOLDER)


def test_a_file_that_is_no_zip_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("Rar!")
    with pytest.raises(PandacatError, match=r"photos is not a zip file"):
        import_archive(tmp_path / "photos", tmp_path / "data/photos.zip")
    assert not (tmp_path / "data").exists()


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(PandacatError, match="/dev/zero is neither a zip file nor a folder"):
        import_archive(Path("/dev/zero"), tmp_path / "photos.zip")


def test_relative_paths_count_from_here_or_from_the_project_of_a_queued_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, copy = tmp_path / "project", tmp_path / "copy"
    project.mkdir()
    copy.mkdir()
    (project / "my.zip").touch()
    monkeypatch.chdir(copy)
    with pytest.raises(
        PandacatError,
        match=r"^evaluate\.field_test in params\.yaml: there is no file or folder 'my\.zip'",
    ):
        find_archive("my.zip", "evaluate.field_test")
    monkeypatch.setenv("DVC_ROOT", str(project))
    assert find_archive("my.zip", "evaluate.field_test") == project / "my.zip"


@pytest.mark.parametrize(
    ("given", "advice"),
    [("~nobody-here/photos", "check the path"), ("https://example.org/a.zip", "download it")],
)
def test_what_is_not_there_comes_with_advice(given: str, advice: str) -> None:
    with pytest.raises(PandacatError, match=advice):
        find_archive(given, "photos.archive")


def config(given: Path) -> Config:
    """Return the default parameters, but for the source of the photos."""
    return replace(CONFIG, photos=replace(CONFIG.photos, source="archive", archive=str(given)))


def test_the_provenance_names_no_path_of_this_machine(
    zipped: Callable[..., Path], tmp_path: Path
) -> None:
    origin, _ = fetching.fetch(config(zipped()), tmp_path / "data/photos.zip")
    assert (origin.source, origin.origin) == ("archive", "photos.zip")
    assert str(tmp_path) not in str(origin)


def test_an_archive_that_the_chosen_source_does_not_use_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = replace(CONFIG.photos.sample, photos_per_class=1)
    photos = replace(CONFIG.photos, source="sample", sample=sample, archive="mine.zip")
    fetching.fetch(replace(CONFIG, photos=photos), tmp_path / "photos.zip")
    assert "photos.archive is not used: photos.source" in capsys.readouterr().err


def test_the_sample_is_drawn_for_the_labels_of_the_run(tmp_path: Path) -> None:
    fox = LabelParams(folders=("foxes", "fox"), imagenet=())
    few = replace(CONFIG.photos, sample=replace(CONFIG.photos.sample, photos_per_class=1))
    run = replace(CONFIG, labels={"fox": fox}, photos=few)
    fetching.fetch(run, tmp_path / "photos.zip")
    index = index_archive(tmp_path / "photos.zip", run.label_of_folder)
    assert list(index.photos) == ["foxes/fox-0001.jpg", "other/other-0001.jpg"]
    assert index.counts()["files"] == {"fox": 1, OTHER: 1}


def test_a_refused_archive_leaves_the_last_one_in_place(
    zipped: Callable[..., Path], tmp_path: Path
) -> None:
    imported = tmp_path / "data/photos.zip"
    fetching.fetch(config(zipped()), imported)
    before = imported.read_bytes()
    with pytest.raises(PandacatError, match="no photos of panda"):
        fetching.fetch(config(zipped({"cat/2.jpg": b""}, photos=False)), imported)
    assert imported.read_bytes() == before
    assert [path.name for path in imported.parent.iterdir()] == ["photos.zip"]


def test_the_source_archive_needs_a_path() -> None:
    with pytest.raises(ValueError, match=r"needs photos\.archive"):
        replace(CONFIG.photos, source="archive", archive=None)


def test_a_folder_name_has_one_label() -> None:
    with pytest.raises(ValueError, match="two labels share the folder cats"):
        replace(CONFIG, other=("Cats",))
