"""`pandacat predict`: photos in, predictions out."""

import csv
import doctest
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from conftest import EXAMPLES, ROOT, make_unopenable

import pandacat
from pandacat.app import output
from pandacat.app.cli import main
from pandacat.app.inputs import find_photos
from pandacat.models.classifier import Prediction


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "photos")
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_pretrained_network_names_the_examples(folder: Path) -> None:
    assert main(["predict", "photos", "--model", "pretrained", "--output", "out.csv"]) == 0
    table = rows(folder / "out.csv")
    assert list(table[0]) == ["path", "label", "p_panda", "p_cat", "p_other"]
    assert len(table) == 11
    assert [row["label"] for row in table] == [Path(row["path"]).parent.name for row in table]
    for row in table:
        total = sum(float(row[f"p_{label}"]) for label in ("panda", "cat", "other"))
        assert total == pytest.approx(1, abs=1e-9)


def test_a_trained_model_is_chosen_by_name(workspace: Path, folder: Path) -> None:
    models = str(workspace / "models")
    for name in ("fine-tuned", "scratch-photos"):
        arguments = ["predict", "photos/cat/kitten.jpg", "--models", models, "--model", name]
        assert main([*arguments, "--output", f"{name}.json"]) == 0
        (row,) = json.loads((folder / f"{name}.json").read_text())
        assert row["path"] == "photos/cat/kitten.jpg"


def test_prediction_sets_have_a_column_where_asked_for(workspace: Path, folder: Path) -> None:
    models = str(workspace / "models")
    (folder / "photos/cat_empty.jpg").touch()
    arguments = [
        "predict",
        "photos",
        "--models",
        models,
        "--prediction-sets",
        "--output",
        "out.csv",
    ]
    assert main(arguments) == 1
    sets = {row["label"]: row["prediction_set"] for row in rows(folder / "out.csv")}
    assert sets.pop("unreadable") == "unreadable"
    assert set(sets.values()) <= {"panda", "cat", "panda or cat", "other"}


def test_one_line_per_photo_on_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["predict", "photos/pan*/*.jpg", "photos/cat/kitten.jpg", "--model", "pretrained"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["label", "panda", "cat"]


def of_three_labels() -> list[Prediction]:
    probabilities = {"giant_panda": 0.25, "red_fox": 0.5, "wild_boar": 0.125, "other": 0.125}
    return [
        Prediction("a.jpg", probabilities, prediction_set="giant panda or red fox"),
        Prediction("b.jpg", None, "not a picture"),
    ]


def test_columns_are_those_of_the_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = of_three_labels()
    assert first.probabilities
    labels = tuple(first.probabilities)
    output.print_lines([first, second], labels, prediction_sets=False)
    head, line, unreadable = capsys.readouterr().out.splitlines()
    assert head.split() == ["label", *labels, "photo"]
    assert line.split() == ["red_fox", "25.0%", "50.0%", "12.5%", "12.5%", "a.jpg"]
    ends = [head.index(label) + len(label) for label in labels]
    assert [line[end - 1] for end in ends] == ["%"] * 4
    assert head.index("photo") == line.index("a.jpg") == unreadable.index("b.jpg")

    output.print_lines([first, second], labels, prediction_sets=True)
    head, line, unreadable = capsys.readouterr().out.splitlines()
    assert head.startswith("set ")
    assert line.startswith("giant panda or red fox ")
    assert head.index("photo") == line.index("a.jpg") == unreadable.index("b.jpg")

    output.write_csv(tmp_path / "out.csv", [first, second], labels, prediction_sets=True)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == [
        "path,label,p_giant_panda,p_red_fox,p_wild_boar,p_other,prediction_set",
        "a.jpg,red_fox,0.25,0.5,0.125,0.125,giant panda or red fox",
        "b.jpg,unreadable,,,,,unreadable",
    ]


def test_without_a_fine_tuned_model_the_pretrained_one_is_used_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "photos/panda/giant_panda.jpg"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("panda")
    assert "No fine-tuned model in" in captured.err
    assert "--model pretrained" in captured.err


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
    assert main(["predict", *paths, "--model", "pretrained"]) == 1
    captured = capsys.readouterr()
    assert "bad.jpg: not an image" in captured.out
    assert "nowhere.jpg: No such file or directory. Check the name" in captured.out
    assert "giant_panda.jpg" in captured.out
    assert "2 of 3 files could not be read" in captured.err


def test_an_unreadable_file_has_a_row_in_the_table(folder: Path) -> None:
    (folder / "photos/bad.jpg").write_bytes(b"no picture")
    arguments = [
        "predict",
        "photos/bad.jpg",
        "photos/panda/giant_panda.jpg",
        "--model",
        "pretrained",
    ]
    assert main([*arguments, "--output", "out.csv"]) == 1
    assert main([*arguments, "--output", "out.json"]) == 1
    assert [row["label"] for row in rows(folder / "out.csv")] == ["unreadable", "panda"]
    assert json.loads((folder / "out.json").read_text())[0]["reason"].startswith("not an image")


def test_hidden_folders_are_left_out_and_no_photo_is_listed_twice(folder: Path) -> None:
    (folder / "photos/.venv").mkdir()
    shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / "photos/.venv")
    assert len(find_photos(["photos", "photos/cat/kitten.jpg"])) == 11


def test_a_file_without_end_is_unreadable_and_takes_no_more_memory_than_a_photo(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "/dev/zero", "photos/cat/kitten.jpg", "--model", "pretrained"]) == 1
    out = capsys.readouterr().out
    assert "/dev/zero: larger than 256 MiB" in out
    assert "photos/cat/kitten.jpg" in out


def test_a_pipe_among_photos_is_left_out(folder: Path) -> None:
    os.mkfifo(folder / "photos/pipe.jpg")
    (folder / "photos/gone.jpg").symlink_to("nowhere.jpg")
    found = find_photos(["photos"])
    assert "photos/pipe.jpg" not in found
    assert "photos/gone.jpg" in found


def test_a_pipe_that_is_named_is_not_waited_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(folder / "pipe.jpg")
    assert main(["predict", "pipe.jpg", "--model", "pretrained"]) == 1
    assert "pipe.jpg: a named pipe" in capsys.readouterr().out


def test_a_folder_that_cannot_be_opened_has_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_unopenable(folder / "photos")
    assert main(["predict", "photos", "--model", "pretrained"]) == 1
    captured = capsys.readouterr()
    assert "xxx: File name too long" in captured.out
    assert "photos/cat/kitten.jpg" in captured.out
    assert "1 of 12 files could not be read" in captured.err


def test_one_photo_spelled_in_two_ways_is_listed_once(folder: Path) -> None:
    whole = str(folder / "photos/cat/kitten.jpg")
    assert find_photos(["./photos/cat/kitten.jpg", "photos//cat/kitten.jpg", whole]) == [
        "./photos/cat/kitten.jpg"
    ]


def test_a_name_cannot_steer_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "two\nlines\x1b[2J\u202e.jpg"
    shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / name)
    assert main(["predict", name, "--model", "pretrained"]) == 0
    assert r"   two\nlines\x1b[2J\u202e.jpg" in capsys.readouterr().out
    assert main(["predict", "photos", "--model", "\x1b[2J"]) == 1
    assert r"no model called \x1b[2J in" in capsys.readouterr().err


def test_a_file_is_never_taken_for_a_pattern(folder: Path) -> None:
    for name in ("photo1.jpg", "photo[1].jpg"):
        shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / name)
    assert find_photos(["photo[1].jpg"]) == ["photo[1].jpg"]


def test_a_pattern_and_a_folder_stand_for_files_only(folder: Path) -> None:
    (folder / "photos/cat/folder.jpg").mkdir()
    assert len(find_photos(["photos"])) == len(find_photos(["photos/*/*.jpg"])) == 11


def test_a_terminal_without_the_letters_gets_escapes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLES / "cat/kitten.jpg", folder / "ü.jpg")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["predict", "ü.jpg", "--model", "pretrained"]) == 0
    terminal.seek(0)
    assert r"\xfc.jpg" in terminal.read()


def test_a_folder_is_never_replaced_by_a_table(folder: Path) -> None:
    (folder / "keep.csv").mkdir()
    (folder / "keep.csv/notes.txt").write_text("mine")
    arguments = [
        "predict",
        "photos/cat/kitten.jpg",
        "--model",
        "pretrained",
        "--output",
        "keep.csv",
    ]
    assert main(arguments) == 1
    assert (folder / "keep.csv/notes.txt").read_text() == "mine"


def test_a_name_that_is_no_text_has_its_row(folder: Path) -> None:
    odd = os.fsdecode(b"photos/caf\xe9.jpg")
    shutil.copy(EXAMPLES / "cat/kitten.jpg", odd)
    for table in ([], ["--output", "out.csv"], ["--output", "out.json"]):
        assert main(["predict", odd, "--model", "pretrained", *table]) == 0
    assert b"caf\xe9.jpg,cat" in (folder / "out.csv").read_bytes()


def test_a_table_that_cannot_be_written_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "photos/cat/kitten.jpg", "--model", "pretrained"]
    assert main([*arguments, "--output", "photos/cat/kitten.jpg/out.csv"]) == 1
    assert "photos/cat/kitten.jpg: File exists. A file is where" in capsys.readouterr().err


def test_where_streams_are_closed_the_table_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    arguments = ["predict", "photos/cat/kitten.jpg", "--model", "pretrained"]
    assert main(arguments) == 0
    assert main([*arguments, "--output", "out.csv"]) == 0
    assert len((folder / "out.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["model.json", "table.csv"])
def test_no_table_gets_into_a_model(
    workspace: Path, folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copytree(workspace / "models/pretrained", folder / "models/pretrained")
    before = {path: path.read_bytes() for path in (folder / "models/pretrained").iterdir()}
    arguments = ["predict", "photos/cat/kitten.jpg", "--model", "pretrained"]
    assert main([*arguments, "--output", f"models/pretrained/{name}"]) == 1
    assert "is in a model's folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (folder / "models/pretrained").iterdir()} == before


@pytest.mark.parametrize("name", ["mine.csv", "mine.json"])
def test_an_existing_file_is_replaced_with_force_only(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    arguments = ["predict", "photos/cat/kitten.jpg", "--model", "pretrained", "--output", name]
    assert main(arguments) == 0
    first = (folder / name).read_bytes()
    (folder / name).write_text("mine")
    assert main(arguments) == 1
    assert f"--output {name} exists: --force replaces it" in capsys.readouterr().err
    assert (folder / name).read_text() == "mine"
    assert main([*arguments, "--force"]) == 0
    assert (folder / name).read_bytes() == first


def test_no_table_is_written_among_the_outputs_of_the_pipeline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("data/photos/out.csv", "plots/tables/out.csv", "metrics/headline.json"):
        arguments = ["predict", "photos/cat/kitten.jpg", "--model", "pretrained", "--output", place]
        assert main([*arguments, "--force"]) == 1
        assert "is among the pipeline's outputs" in capsys.readouterr().err
        assert not (folder / place).exists()


def test_a_folder_called_pretrained_is_not_taken_for_the_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pretrained").mkdir()
    assert main(["predict", "photos/panda/giant_panda.jpg", "--model", "pretrained"]) == 0
    assert "giant_panda.jpg" in capsys.readouterr().out


def test_a_table_goes_where_a_link_leads(folder: Path) -> None:
    (folder / "far").mkdir()
    (folder / "out.csv").symlink_to("far/out.csv")
    for force in ([], ["--force"]):
        arguments = [
            "predict",
            "photos/cat/kitten.jpg",
            "--model",
            "pretrained",
            "--output",
            "out.csv",
        ]
        assert main([*arguments, *force]) == 0
    assert (folder / "out.csv").is_symlink()
    assert len(rows(folder / "far/out.csv")) == 1


def test_without_a_cache_folder_the_network_is_made_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
    for _ in range(2):
        assert main(["predict", "photos/panda/giant_panda.jpg", "--model", "pretrained"]) == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines()[1].startswith("panda")
        assert "It can't be cached, so the next start converts it again" in captured.err


def test_a_damaged_copy_of_the_network_in_the_cache_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    arguments = [
        "predict",
        "photos/panda/giant_panda.jpg",
        "--model",
        "pretrained",
        "--output",
        "out.csv",
    ]
    assert main(arguments) == 0
    first = (folder / "out.csv").read_bytes()
    (weights,) = (folder / "cache").rglob("weights.safetensors")
    weights.write_bytes(b"damaged")
    assert main([*arguments, "--force"]) == 0
    assert (folder / "out.csv").read_bytes() == first
    (converted,) = (folder / "cache").rglob("*.xml")
    converted.write_text("damaged")
    assert main([*arguments, "--force"]) == 0
    assert (folder / "out.csv").read_bytes() == first


def test_no_usage_report_is_sent(folder: Path) -> None:
    """OpenVINO's reports of use keep an account in the home folder, and go out from there."""
    home = folder / "home"
    home.mkdir()
    command = [
        sys.executable,
        "-m",
        "pandacat",
        "predict",
        "photos/cat/kitten.jpg",
        "--model",
        "pretrained",
    ]
    cache = platformdirs.user_cache_dir()
    subprocess.run(
        command, env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": cache}, check=True
    )
    assert list(home.iterdir()) == []


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
        (["photos", "--model", "pretrained", "--prediction-sets"], "is not calibrated"),
    ],
)
def test_what_cannot_work_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "half").mkdir()
    (folder / "half/weights.safetensors").touch()
    assert main(["predict", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
