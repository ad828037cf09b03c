"""Names of files are text everywhere: in plots, on pages, in tables and on the terminal."""

import csv
import json
import re
import shlex
import subprocess
import warnings
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from PIL import Image
from ruamel.yaml import YAML

from pandacat.app import output
from pandacat.app.inputs import open_photos
from pandacat.config.loading import load_config
from pandacat.core import names
from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, printable
from pandacat.data.sources.importing import find_archive
from pandacat.models.classifier import Prediction
from pandacat.report.plots import audit, photos, style
from pandacat.report.plots.style import Canvas
from pandacat.report.templating import markdown, markdown_path

README = (ROOT / "README.md").read_text(encoding="utf-8")

ODD_NAMES = (
    *("$5 bed, now $3.jpg", "ca$h_ca$h.jpg", "$$$", r"\$x^2_i$.jpg", r"{\frac}%#&~.jpg", "a\nb"),
    *("a|b", "`x`", r"a\|b", "a``b`", "*b*", "_b_", "__init__", "# x", "~~s~~", "&amp;", "**", "|"),
    *("<img src=x onerror=a()>", "[x](http://e)", "![](x)", "1. x", "- x", "<!--", " x "),
    *("=1+1", "@SUM(A1)", "größe.jpg", "猫.jpg", "고양이.jpg", "قط.jpg", "😀.jpg", "\u202egpj.exe"),
)
FILE_NAMES = [name for name in ODD_NAMES if "/" not in name]


def shown_in(figure: Figure, name: str) -> str:
    """Return what a plot shows as the name of a file; warnings, as about fonts, are errors."""
    axes = figure.subplots()
    caption = axes.set_title("")
    style.write_name(caption, name, inches=6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    return caption.get_text()


@pytest.mark.parametrize("name", [*FILE_NAMES, "it's", "-x", "a\tb\x1b[31m", "\udce9.jpg", "\\\n'"])
def test_a_name_in_a_command_leads_to_its_file(name: str, tmp_path: Path) -> None:
    word = names.shell_word(name)
    assert printable(word) == word
    (tmp_path / name).touch()
    subprocess.run(["bash", "-c", f"mv {word} found"], cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["found"]


def test_a_name_in_a_status_line_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_status("Wrote a\nb\x1b[31m.csv")
    assert capsys.readouterr().err == r"Wrote a\nb\x1b[31m.csv" + "\n"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_plot_shows_any_name_as_it_is_or_with_escapes(name: str) -> None:
    shown = shown_in(Figure(), name)
    assert shown.encode().decode("unicode_escape" if "\\u" in shown.lower() else "utf-8") in (
        name,
        name.replace("\n", "\\n"),
    )


@pytest.mark.parametrize("name", ["i" * 80, "W" * 40, "Щ" * 40, "cat_$5_was_$" + "3" * 30])
def test_of_a_name_that_is_wider_than_its_place_the_end_is_shown(name: str) -> None:
    caption = Figure().subplots().set_title("", size=7.5)
    style.write_name(caption, name, inches=1.4, start="12. ")
    shown = caption.get_text().removeprefix("12. …")
    assert name.endswith(shown)
    assert 1.2 < caption.get_window_extent().width / 100 <= 1.4


def test_a_name_that_fits_is_shown_whole() -> None:
    caption = Figure().subplots().set_title("", size=7.5)
    style.write_name(caption, "i" * 40, inches=1.4, start="12. ")
    assert caption.get_text() == "12. " + "i" * 40


def test_a_character_that_the_plots_font_lacks_is_drawn_in_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(style, "FONT", "cmtt10")  # ASCII only; comes with matplotlib
    style._font_with.cache_clear()
    caption = Figure().subplots().set_title("")
    style.write_name(caption, "aж", inches=6)
    style._font_with.cache_clear()
    assert caption.get_text() == "aж"
    assert caption.get_fontfamily()[0] == "cmtt10"
    assert len(caption.get_fontfamily()) == 2


def test_plots_of_photos_are_drawn_whatever_their_names(tmp_path: Path) -> None:
    paths = [f"cat/{name}" for name in ODD_NAMES[:6]]
    pixels = Image.fromarray(np.zeros((80, 80, 3), np.uint8))
    issues = pd.DataFrame({"path": paths, "reason": "doubtful"})
    audit.contact_sheet(Canvas(tmp_path), issues, lambda some: dict.fromkeys(some, pixels))
    wrong = {"label": "cat", "p_panda": 0.9, "p_cat": 0.1, "p_other": 0.0, "network": "scratch"}
    predictions = pd.DataFrame({"path": paths, **wrong})
    photos.mistakes(Canvas(tmp_path), predictions, 6, lambda some: dict.fromkeys(some, pixels))
    assert {path.name for path in tmp_path.iterdir()} == {
        "label_issues.png",
        "mistakes_scratch.png",
    }


@pytest.mark.parametrize("write", [markdown, markdown_path])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_markdown_shows_any_name_as_it_is_even_in_a_table(write, name: str) -> None:
    page = (
        MarkdownIt("commonmark")
        .enable("table")
        .render(f"# Audit: {write(name)}\n\n| a | b |\n|---|---|\n| {write(name)} | c |\n")
    )
    heading, cell = re.findall(r"<h1>Audit: (.*)</h1>|<td>(.*)</td>\n<td>c</td>", page)
    expected = name.encode("unicode_escape").decode() if {"\n", "\u202e"} & {*name} else name
    for html in (heading[0], cell[1]):
        text = re.sub("</?code>", "", html)
        assert "<" not in text
        assert unescape(text).strip() == expected.strip()


@pytest.mark.parametrize("name", ["animal-image-dataset (dog, cat and panda)", "cat_2.jpg", "C++"])
def test_markdown_of_ordinary_text_is_the_text(name: str) -> None:
    assert markdown(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("=1+1.jpg", "+a.jpg", "-a/b.jpg", "@a", "＝1", "a=1.jpg", "-"),
        *("cat.jpg\r", "\r.jpg", "a\rb", "a\nb", 'a\r\n"', "a\r\n", "\u2028"),
    ],
)
def test_no_path_in_a_table_for_users_is_a_formula_and_each_leads_to_its_file(
    name: str, tmp_path: Path
) -> None:
    columns = output.table_columns(("cat", "other"), prediction_sets=False, top=0)
    output.write_csv(tmp_path / "out.csv", [Prediction(name, {"cat": 1.0, "other": 0.0})], columns)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["path"] == name or row["path"][0] == "."
    assert row["path"] == "-" or not row["path"].startswith(names.FORMULA_STARTS)
    assert Path(row["path"]) == Path(name)


ODD_PATHS = (
    *("archive (1).zip", "my photos.zip", "cats & pandas.zip", "photos=2024.zip", "a;b|c>d.zip"),
    *("50%.zip", "größe.zip", "a$b$.zip", "$x{y}.zip", 'q"uote.zip', "[1].zip", "{a:b}.zip"),
    *("a: b.zip", "猫.zip", "~x.zip", "@a.zip", "*!?.zip", " lead.zip", "😀", "[a,b]", "#1.zip"),
    "photos, all.zip",
)


def as_dvc_sets(override: str, params: Path) -> Any:
    """Return `photos.archive` after `dvc exp run -S` with this override; one experiment only."""
    (only,) = get_hydra_sweeps({str(params): [override]})
    params.write_text("photos:\n  archive:\n")
    apply_overrides(params, only[str(params)])
    return YAML(typ="safe").load(params)["photos"]["archive"]


@pytest.mark.parametrize("name", ODD_PATHS)
def test_the_way_of_readme_to_give_an_archive_works_for_any_path(name: str, tmp_path: Path) -> None:
    (command,) = re.findall(r"^dvc exp run .*photos\.archive=.*HOME.*", README, re.MULTILINE)
    (quoted,) = re.findall("(?<=')[$]HOME/photos.zip(?=')", command)
    override = shlex.split(command, comments=True)[-1].replace(quoted, f"/home/me/{name}")
    assert as_dvc_sets(override, tmp_path / "params.yaml") == f"/home/me/{name}"


@pytest.mark.parametrize("name", [*ODD_PATHS, "it's.zip", "${HOME}.zip", "a\\b\\"])
def test_in_params_any_path_works(name: str, tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("source: sample", "source: archive")
    quoted = json.dumps(f"/home/me/{name}", ensure_ascii=False)
    (tmp_path / "params.yaml").write_text(text.replace("archive:  ", f"archive: {quoted}  ", 1))
    assert load_config(tmp_path / "params.yaml").photos.archive == f"/home/me/{name}"


@pytest.mark.parametrize(
    "spell",
    [
        lambda path: f"'{path}'",
        lambda path: f'"{path}" ',
        lambda path: str(path).replace(" ", "\\ "),
        lambda path: path.as_uri(),
        lambda path: f"file://localhost{path.as_uri().removeprefix('file://')}",
        lambda path: f"$PHOTOS/{path.name}",
    ],
)
def test_a_path_that_was_copied_from_elsewhere_is_recognized(
    spell: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOS", str(tmp_path))
    folder = tmp_path / "my photos 50%"
    folder.mkdir()
    (folder / "1.jpg").touch()
    with pytest.raises(PandacatError) as refused:
        find_archive(spell(folder), "photos.archive")
    (meant,) = re.findall("is '(.+)' meant", str(refused.value))
    assert find_archive(meant, "photos.archive") == folder
    with pytest.raises(PandacatError) as refused, open_photos([spell(folder)]):
        pass
    (word,) = re.findall(": is (.+) meant", str(refused.value))
    with open_photos(shlex.split(word)) as found:
        assert len(found) == 1


def test_a_path_that_was_cut_on_its_way_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "photos, all.zip").touch()
    sweeps = get_hydra_sweeps({"params.yaml": [f"photos.archive={tmp_path}/photos, all.zip"]})
    cut = sweeps[0]["params.yaml"][0].partition("=")[2]
    with pytest.raises(PandacatError, match=r"is 'photos, all\.zip' meant\?.* into params\.yaml"):
        find_archive(cut, "photos.archive")
