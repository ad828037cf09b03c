"""`pandacat predict`: photos in, predictions out."""

import csv
import doctest
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import platformdirs
import pytest
from conftest import BLAS_THREADS, EXAMPLES, ROOT, make_unopenable
from PIL import Image
from test_tracking_pipeline import write_model

import pandacat
from pandacat.app import output
from pandacat.app.cli import main
from pandacat.app.inputs import open_photos
from pandacat.models import engine
from pandacat.models.classifier import Prediction

KITTEN = "photos/cat/kitten.jpg"
"""In `folder`."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "photos")
    return tmp_path


def names(*paths: str) -> list[str]:
    with open_photos(paths) as photos:
        return list(photos)


def predict(*arguments: str) -> int:
    """Return the exit code of `pandacat predict` with the pretrained network."""
    return main(["predict", *arguments, "--model", "pretrained"])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_pretrained_network_names_the_examples(folder: Path) -> None:
    assert predict("photos", "--output", "out.csv") == 0
    table = rows(folder / "out.csv")
    assert list(table[0]) == ["path", "label", "p_panda", "p_cat", "p_other", "reason"]
    assert len(table) == 11
    assert [row["label"] for row in table] == [Path(row["path"]).parent.name for row in table]
    for row in table:
        total = sum(float(row[f"p_{label}"]) for label in ("panda", "cat", "other"))
        assert total == pytest.approx(1, abs=1.5e-6)


def test_a_trained_model_is_chosen_by_name(workspace: Path, folder: Path) -> None:
    models = str(workspace / "models")
    for name in ("fine-tuned", "scratch-photos"):
        arguments = ["predict", "photos/cat/kitten.jpg", "--models", models, "--model", name]
        assert main([*arguments, "--output", f"{name}.json"]) == 0
        (row,) = json.loads((folder / f"{name}.json").read_text())
        assert row["path"] == "photos/cat/kitten.jpg"


def test_the_table_and_the_lines_have_the_same_prediction_sets(
    workspace: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos/cat_empty.jpg").touch()
    arguments = ["predict", "photos", "--models", str(workspace / "models"), "--prediction-sets"]
    assert main([*arguments, "-o", "out.csv"]) == 1
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()[1:]
    for row, line in zip(rows(folder / "out.csv"), lines, strict=True):
        assert re.split(r"  +", line)[0] == row["prediction_set"]
        assert row["label"] in re.split(", | or ", row["prediction_set"])


def test_one_line_per_photo_on_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("photos/pan*/*.jpg", KITTEN) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["label", "panda", "cat"]


def of_three_labels() -> list[Prediction]:
    probabilities = {"giant_panda": 0.25, "red_fox": 0.5, "wild_boar": 0.125, "other": 0.125}
    return [
        Prediction(
            "a.jpg",
            probabilities,
            prediction_set=("giant_panda", "red_fox"),
            top_classes=(("kit fox", 0.4),),
        ),
        Prediction("b.jpg", None, "not a picture"),
    ]


def test_columns_are_those_of_the_labels(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = of_three_labels()
    assert first.probabilities
    labels = tuple(first.probabilities)
    output.print_lines([first, second], labels, prediction_sets=False)
    head, line, classes, unreadable = capsys.readouterr().out.splitlines()
    assert head.split() == ["label", *labels, "photo"]
    assert line.split() == ["red_fox", "25.0%", "50.0%", "12.5%", "12.5%", "a.jpg"]
    ends = [head.index(label) + len(label) for label in labels]
    assert [line[end - 1] for end in ends] == ["%"] * 4
    assert head.index("photo") == line.index("a.jpg") == unreadable.index("b.jpg")
    assert classes.split() == ["kit", "fox", "40.0%"]

    output.print_lines([first, second], labels, prediction_sets=True)
    head, line, classes, unreadable = capsys.readouterr().out.splitlines()
    assert head.startswith("set ")
    assert line.startswith("giant panda or red fox ")
    assert head.index("photo") == line.index("a.jpg") == unreadable.index("b.jpg")


def test_a_csv_has_six_decimals_and_leaves_empty_what_does_not_apply(tmp_path: Path) -> None:
    labels = ("giant_panda", "red_fox", "wild_boar", "other")
    columns = output.table_columns(labels, prediction_sets=True, top=1)
    output.write_csv(tmp_path / "out.csv", of_three_labels(), columns)
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "path,label,p_giant_panda,p_red_fox,p_wild_boar,p_other,prediction_set,"
        "top_1,top_1_p,reason",
        "a.jpg,red_fox,0.250000,0.500000,0.125000,0.125000,giant panda or red fox,"
        "kit fox,0.400000,",
        "b.jpg,unreadable,,,,,unreadable,,,not a picture",
    ]


def test_json_holds_the_same_as_csv_and_null_where_that_is_empty(tmp_path: Path) -> None:
    columns = output.table_columns(("red_fox", "other"), prediction_sets=False, top=1)
    odd = Prediction(os.fsdecode(b"caf\xe9.jpg"), {"red_fox": 1 / 3, "other": 1e-9})
    output.write_json(tmp_path / "out.json", [odd, of_three_labels()[1]], columns)
    first, second = json.loads((tmp_path / "out.json").read_bytes())
    assert list(first) == list(second) == columns
    assert os.fsencode(first["path"]) == b"caf\xe9.jpg"
    assert (first["p_red_fox"], first["p_other"], first["reason"]) == (0.333333, 0, None)
    assert (second["p_red_fox"], second["label"]) == (None, "unreadable")
    assert second["reason"] == "not a picture"


def test_what_was_written_is_said_and_where(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos/bad.jpg").write_bytes(b"no picture")
    assert predict("photos/bad.jpg", "photos/cat", "-o", "out.csv") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "Wrote predictions for 2 of 3 photos to out.csv.",
        "1 of 3 files could not be read.",
    ]


def test_quiet_says_errors_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", "photos/cat", "-q", "-o", "out.csv"]  # no model: a note, else
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    assert main(arguments) == 1
    assert "--output out.csv exists" in capsys.readouterr().err


def test_the_most_probable_imagenet_classes_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("photos/other/jaguar.jpg", "--top", "3")
    assert predict(*arguments) == 0
    head, line, classes = capsys.readouterr().out.splitlines()
    assert classes.index("jaguar ") > line.index("photos/") == head.index("photo")
    assert classes.count("%") == 3
    assert predict(*arguments, "-o", "out.csv") == 0
    (row,) = rows(folder / "out.csv")
    assert row["top_1"] == "jaguar"
    shares = [float(row[f"top_{rank}_p"]) for rank in (1, 2, 3)]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1


def test_lines_have_no_more_classes_than_can_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(KITTEN, "--top", "2000") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].count("%") == 20
    assert "the 20 most probable classes; -o FILE.csv writes all 1,000" in captured.err
    assert predict(KITTEN, "--top", "2000", "-o", "out.csv") == 0
    assert len(rows(folder / "out.csv")[0]) == 2 * 1000 + 6


@pytest.mark.parametrize("name", ["scratch-photos", "linear-probe"])
def test_a_model_without_imagenet_classes_names_none(
    workspace: Path, folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    models = str(workspace / "models")
    arguments = ["predict", "photos/cat", "--models", models, "--top", "5", "--model"]
    assert main([*arguments, name]) == 1
    assert f"{name} has no ImageNet classes, only panda, cat and" in capsys.readouterr().err
    assert main([*arguments, "fine-tuned"]) == 0


def test_a_model_trained_on_drawings_is_not_to_be_relied_on(
    workspace: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "photos/cat", "--models", str(workspace / "models"), "--model"]
    for name, times in (("fine-tuned", 1), ("tuned-threshold", 1), ("pretrained", 0)):
        assert main([*arguments, name]) == 0
        assert capsys.readouterr().err.count("was trained on drawings") == times


def test_a_photo_comes_from_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = (folder / "photos/panda/giant_panda.jpg").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo)))
    assert predict("-", KITTEN) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:]] == [
        ("panda", "-"),
        ("cat", "photos/cat/kitten.jpg"),
    ]


def test_a_terminal_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert main(["predict", "-"]) == 1
    assert "`pandacat predict - < photo.jpg`" in capsys.readouterr().err


def test_photos_in_a_zip_are_read_without_unpacking_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile("zoo.zip", "w") as packed:
        packed.write("photos/cat/kitten.jpg", "inside/kitten.jpg")
        packed.writestr("./again.jpg", (folder / "photos/cat/kitten.jpg").read_bytes())
        packed.writestr("bad.JPG", b"no picture")
        for left_out in ("notes.txt", ".hidden/cat.jpg", "inside/._kitten.jpg"):
            packed.writestr(left_out, b"something else")
    before = sorted(folder.rglob("*"))
    assert predict("zoo.zip") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["label", "cat", "unreadable", "cat"]
    assert lines[1].endswith("   zoo.zip/./again.jpg")
    assert "zoo.zip/bad.JPG: not an image" in lines[2]
    assert lines[3].endswith("   zoo.zip/inside/kitten.jpg")
    assert sorted(folder.rglob("*")) == before


def test_the_gpu_is_asked_for_in_vain(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert predict("photos/cat", "--device", "cuda") == 1
    assert "--device cuda: PyTorch finds no GPU that it can use; --device cpu needs none" in (
        capsys.readouterr().err
    )
    assert predict("photos/cat", "--device", "cpu") == 0


def test_the_cpu_can_be_chosen_where_there_is_a_gpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torch_engine(*_: object) -> None:
        raise AssertionError("PyTorch runs the network")

    monkeypatch.setattr(engine, "_has_gpu", lambda: True)
    monkeypatch.setattr(engine, "_torch_engine", torch_engine)
    assert predict("photos/cat", "--device", "auto") == 1
    assert predict("photos/cat", "--device", "cpu") == 0


@pytest.mark.parametrize(
    "command", [["predict", "cat.jpg"], ["gate"], ["tracking", "sync"]], ids=" ".join
)
def test_a_wrong_option_shows_the_options_of_the_command(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--oops"])
    name = " ".join(part for part in command if "." not in part)
    error = capsys.readouterr().err
    assert error.startswith(f"usage: pandacat {name} [-h]")
    assert error.endswith(f"pandacat {name}: error: unrecognized arguments: --oops\n")


@pytest.mark.parametrize("name", ["-rf.jpg", "-q.jpg", "-\x1b[2J.jpg"])
def test_a_file_that_is_taken_for_an_option_is_given_in_another_way(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copy(folder / KITTEN, folder / name)
    for others in ([], [KITTEN]):
        with pytest.raises(SystemExit, match="2"):
            predict(name, *others)
        error = capsys.readouterr().err
        assert "\x1b" not in error
        advice = error.splitlines()[-1]
        assert advice.startswith("Files whose names begin with - are given as ")
    word = advice.rpartition(" as ")[2]
    path = subprocess.check_output(["bash", "-c", f"printf %s {word}"], text=True)
    assert path == f"./{name}"
    assert names(path) == [path]


def test_all_zips_that_cannot_be_used_are_named_before_anything_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("torn.zip", "empty file.zip"):
        (folder / name).write_bytes(b"PK")
    (folder / "packed.zip").write_bytes(b"Rar!\x1a\7\0")
    assert predict(KITTEN, "torn.zip", "packed.zip", "empty file.zip") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    torn, packed, empty = captured.err.splitlines()
    assert torn.startswith("pandacat: torn.zip is not a zip file, or incomplete")
    assert packed.startswith("packed.zip is an archive, but no zip (RAR)")
    assert empty.startswith("empty file.zip is not a zip file, or incomplete")


def test_without_a_fine_tuned_model_the_pretrained_one_is_used_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "photos/panda/giant_panda.jpg"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("panda")
    assert "No fine-tuned model in" in captured.err
    assert "--model pretrained" in captured.err


def test_products_of_the_command_take_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    command = "import pandacat.__main__ as command, sys; sys.argv[1:] = ['tracking', '-h']\n"
    command += "try: command.main()\nexcept SystemExit: pass\n"
    output = subprocess.check_output([sys.executable, "-c", command + BLAS_THREADS], text=True)
    assert output.endswith("{1}\n")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"pandacat {pandacat.__version__}\n"


def test_the_example_of_load_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert doctest.testmod(pandacat) == doctest.TestResults(failed=0, attempted=2)


def test_importing_the_package_loads_nothing_else() -> None:
    """So that `import pandacat` costs no time, and works without the packages of the pipeline."""
    code = "import sys, pandacat; print([m for m in sys.modules if m.startswith('pandacat.')])"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\n"


def test_an_unreadable_file_gets_a_line_with_the_reason_and_the_rest_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos/bad.jpg").write_bytes(b"no picture")
    paths = ["photos/bad.jpg", "nowhere.jpg", "photos/panda/giant_panda.jpg"]
    assert predict(*paths) == 1
    captured = capsys.readouterr()
    assert "bad.jpg: not an image" in captured.out
    assert "nowhere.jpg: No such file or directory. Check the name" in captured.out
    assert "giant_panda.jpg" in captured.out
    assert "2 of 3 files could not be read" in captured.err


def test_an_unreadable_file_has_a_row_in_the_table(folder: Path) -> None:
    (folder / "photos/bad.jpg").write_bytes(b"no picture")
    for table in ("out.csv", "out.json"):
        assert predict("photos/bad.jpg", "photos/panda/giant_panda.jpg", "--output", table) == 1
    assert [row["label"] for row in rows(folder / "out.csv")] == ["unreadable", "panda"]
    assert json.loads((folder / "out.json").read_text())[0]["reason"].startswith("not an image")


def test_hidden_folders_are_left_out_and_no_photo_is_listed_twice(folder: Path) -> None:
    (folder / "photos/.venv").mkdir()
    shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / "photos/.venv")
    assert len(names("photos", "photos/cat/kitten.jpg")) == 11


def test_a_file_without_end_is_unreadable_and_takes_no_more_memory_than_a_photo(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("/dev/zero", KITTEN) == 1
    out = capsys.readouterr().out
    assert "/dev/zero: larger than 256 MiB" in out
    assert "photos/cat/kitten.jpg" in out


def test_a_pipe_among_photos_is_left_out(folder: Path) -> None:
    os.mkfifo(folder / "photos/pipe.jpg")
    (folder / "photos/gone.jpg").symlink_to("nowhere.jpg")
    found = names("photos")
    assert "photos/pipe.jpg" not in found
    assert "photos/gone.jpg" in found


def test_a_pipe_that_is_named_is_not_waited_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(folder / "pipe.jpg")
    assert predict("pipe.jpg") == 1
    assert "pipe.jpg: a named pipe" in capsys.readouterr().out


def test_a_folder_that_cannot_be_opened_has_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_unopenable(folder / "photos")
    assert predict("photos") == 1
    captured = capsys.readouterr()
    assert "xxx: File name too long" in captured.out
    assert "photos/cat/kitten.jpg" in captured.out
    assert "1 of 12 files could not be read" in captured.err


def test_one_photo_spelled_in_two_ways_is_listed_once(folder: Path) -> None:
    whole = str(folder / "photos/cat/kitten.jpg")
    assert names("./photos/cat/kitten.jpg", "photos//cat/kitten.jpg", whole) == [
        "./photos/cat/kitten.jpg"
    ]


def test_a_name_cannot_steer_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "two\nlines\x1b[2J\u202e.jpg"
    shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / name)
    assert predict(name) == 0
    assert r"   two\nlines\x1b[2J\u202e.jpg" in capsys.readouterr().out
    assert main(["predict", "photos", "--model", "\x1b[2J"]) == 1
    assert r"no model called \x1b[2J in" in capsys.readouterr().err


def test_a_file_is_never_taken_for_a_pattern(folder: Path) -> None:
    for name in ("photo1.jpg", "photo[1].jpg"):
        shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / name)
    assert names("photo[1].jpg") == ["photo[1].jpg"]


def test_a_pattern_and_a_folder_stand_for_files_only(folder: Path) -> None:
    (folder / "photos/cat/folder.jpg").mkdir()
    assert len(names("photos")) == len(names("photos/*/*.jpg")) == 11


def test_a_terminal_without_the_letters_gets_escapes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / "ü.jpg")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    assert predict("ü.jpg") == 0
    terminal.seek(0)
    assert r"\xfc.jpg" in terminal.read()


def test_no_folder_is_made_for_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(KITTEN, "-o", "no/where/out.csv") == 1
    assert "`mkdir -p no/where` creates it" in capsys.readouterr().err
    assert not (folder / "no").exists()


def test_a_photo_of_few_pixels_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in (1, 31, 32):
        Image.new("RGB", (100, side), "gray").save(folder / f"{side}.png")
    assert predict("1.png", "31.png", "32.png") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"2 photos have fewer than 32 pixels a side.*: 1\.png, 31\.png$", line)


def test_a_folder_is_never_replaced_by_a_table(folder: Path) -> None:
    (folder / "keep.csv").mkdir()
    (folder / "keep.csv/notes.txt").write_text("mine")
    assert predict(KITTEN, "--output", "keep.csv") == 1
    assert (folder / "keep.csv/notes.txt").read_text() == "mine"


def test_a_name_that_is_no_text_has_its_row(folder: Path) -> None:
    odd = os.fsdecode(b"photos/caf\xe9.jpg")
    shutil.copy(EXAMPLES / "cat/kitten.jpg", odd)
    for table in ([], ["--output", "out.csv"], ["--output", "out.json"]):
        assert predict(odd, *table) == 0
    assert b"caf\xe9.jpg,cat" in (folder / "out.csv").read_bytes()


def test_a_table_that_cannot_be_written_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(KITTEN, "--output", f"{KITTEN}/out.csv") == 1
    assert "photos/cat/kitten.jpg: File exists. A file is where" in capsys.readouterr().err


def test_where_streams_are_closed_the_table_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert predict(KITTEN) == 0
    assert predict(KITTEN, "--output", "out.csv") == 0
    assert len((folder / "out.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["model.json", "table.csv"])
def test_no_table_gets_into_a_model(
    workspace: Path, folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copytree(workspace / "models/pretrained", folder / "models/pretrained")
    before = {path: path.read_bytes() for path in (folder / "models/pretrained").iterdir()}
    assert predict(KITTEN, "--output", f"models/pretrained/{name}") == 1
    assert "is in a model's folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (folder / "models/pretrained").iterdir()} == before


@pytest.mark.parametrize("name", ["mine.csv", "mine.json"])
def test_an_existing_file_is_replaced_with_force_only(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert predict(KITTEN, "--output", name) == 0
    first = (folder / name).read_bytes()
    (folder / name).write_text("mine")
    assert predict(KITTEN, "--output", name) == 1
    assert f"--output {name} exists: --force replaces it" in capsys.readouterr().err
    assert (folder / name).read_text() == "mine"
    assert predict(KITTEN, "--output", name, "--force") == 0
    assert (folder / name).read_bytes() == first


def test_no_table_is_written_among_the_outputs_of_the_pipeline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("data/photos/out.csv", "plots/tables/out.csv", "metrics/headline.json"):
        assert predict(KITTEN, "--output", place, "--force") == 1
        assert "is among the pipeline's outputs" in capsys.readouterr().err
        assert not (folder / place).exists()


def test_a_folder_called_pretrained_is_not_taken_for_the_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pretrained").mkdir()
    assert predict("photos/panda/giant_panda.jpg") == 0
    assert "giant_panda.jpg" in capsys.readouterr().out


def test_a_table_goes_where_a_link_leads(folder: Path) -> None:
    (folder / "far").mkdir()
    (folder / "out.csv").symlink_to("far/out.csv")
    for force in ([], ["--force"]):
        assert predict(KITTEN, "--output", "out.csv", *force) == 0
    assert (folder / "out.csv").is_symlink()
    assert len(rows(folder / "far/out.csv")) == 1


def test_without_a_cache_folder_the_network_is_made_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
    for _ in range(2):
        assert predict("photos/panda/giant_panda.jpg") == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines()[1].startswith("panda")
        assert "It can't be cached, so the next start converts it again" in captured.err


def test_a_damaged_copy_of_the_network_in_the_cache_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    arguments = ("photos/panda/giant_panda.jpg", "--output", "out.csv")
    assert predict(*arguments) == 0
    first = (folder / "out.csv").read_bytes()
    (weights,) = (folder / "cache").rglob("weights.safetensors")
    weights.write_bytes(b"damaged")
    assert predict(*arguments, "--force") == 0
    assert (folder / "out.csv").read_bytes() == first
    (converted,) = (folder / "cache").rglob("*.xml")
    converted.write_text("damaged")
    assert predict(*arguments, "--force") == 0
    assert (folder / "out.csv").read_bytes() == first


def test_no_usage_report_is_sent(folder: Path) -> None:
    """OpenVINO's reports of use keep an account in the home folder, and go out from there."""
    home = folder / "home"
    home.mkdir()
    command = [sys.executable, "-m", "pandacat", "predict", KITTEN, "--model", "pretrained"]
    cache = platformdirs.user_cache_dir()
    subprocess.run(
        command, env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": cache}, check=True
    )
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "advice", "then"),
    [
        (["--model", "photos"], "or use `--model pretrained`", ["--model", "pretrained"]),
        (["--model", ""], "or leave it out", []),
        (["-o", "out.txt"], "must end in .csv or .json", ["-o", "out.csv"]),
        (["-o", "out.txt"], "must end in .csv or .json", ["-o", "out.json"]),
        (["-o", "photos"], "give the name of a file", ["-o", "photos/out.csv"]),
        (["-o", KITTEN], "--force replaces it", ["-o", "out.csv", "--force"]),
        (["--model", "scratch", "--top", "1"], "use --model pretrained", ["--model", "pretrained"]),
    ],
)
def test_what_is_advised_works(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    advice: str,
    then: list[str],
) -> None:
    write_model(folder / "scratch")
    assert main(["predict", KITTEN, *arguments]) == 1
    assert advice in capsys.readouterr().err
    assert main(["predict", KITTEN, *then]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--output", "out.txt"], "must end in .csv or .json"),
        (["photos", "--model", "nobody"], "no model called nobody"),
        (["photos", "--model", ""], "--model is empty"),
        (["photos", "--model", "photos"], "No model in photos"),
        (["photos", "--model", "half"], "The model in half lacks model.json. Train it again"),
        (["empty"], "No photos in empty"),
        ([""], "One of the paths is empty"),
        (["https://a.org/?b=1&c=2"], "`curl -L 'https://a.org/?b=1&c=2' | pandacat predict -`"),
        (["empty.zip"], "No photos in empty.zip"),
        (["torn.zip"], "torn.zip is not a zip file"),
        (["twice.zip"], "twice.zip: the archive is refused: it holds two files named"),
        (["photos", "--model", "pretrained", "--prediction-sets"], "is not calibrated"),
    ],
)
def test_what_cannot_work_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "half").mkdir()
    (folder / "half/weights.safetensors").touch()
    (folder / "torn.zip").write_bytes(b"PK")
    for name, content in (("empty.zip", []), ("twice.zip", ["cat.jpg"] * 2)):
        with zipfile.ZipFile(name, "w") as packed, warnings.catch_warnings(action="ignore"):
            for photo in content:
                packed.writestr(photo, b"")
    assert main(["predict", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
