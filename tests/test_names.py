"""Names of files are text everywhere: in plots, on pages, in tables and on the terminal."""

import csv
import re
import warnings
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from PIL import Image

from pandacat.app import output
from pandacat.core import names
from pandacat.models.classifier import Prediction
from pandacat.report.plots import audit, photos, style
from pandacat.report.plots.style import Canvas
from pandacat.report.templating import markdown, markdown_path

ODD_NAMES = (
    *("$5 bed, now $3.jpg", "ca$h_ca$h.jpg", "$$$", r"\$x^2_i$.jpg", r"{\frac}%#&~.jpg", "a\nb"),
    *("a|b", "`x`", r"a\|b", "a``b`", "*b*", "_b_", "__init__", "# x", "~~s~~", "&amp;", "**", "|"),
    *("<img src=x onerror=a()>", "[x](http://e)", "![](x)", "1. x", "- x", "<!--", " x "),
    *("=1+1", "@SUM(A1)", "größe.jpg", "猫.jpg", "고양이.jpg", "قط.jpg", "😀.jpg", "\u202egpj.exe"),
)


def shown_in(figure: Figure, name: str) -> str:
    """Return what a plot shows as the name of a file; warnings, as about fonts, are errors."""
    axes = figure.subplots()
    caption = axes.set_title("")
    style.write_name(caption, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    return caption.get_text()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_plot_shows_any_name_as_it_is_or_with_escapes(name: str) -> None:
    shown = shown_in(Figure(), name)
    assert shown.encode().decode("unicode_escape" if "\\u" in shown.lower() else "utf-8") in (
        name,
        name.replace("\n", "\\n"),
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a" * 26, "a" * 26),
        ("b" * 20 + "c" * 10, "…" + "b" * 15 + "c" * 10),
        ("猫" * 14, "…" + "猫" * 12),
    ],
)
def test_the_end_of_a_long_name_is_shown_and_wide_characters_count_twice(
    name: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "_font_with", lambda letter: style.FONT)
    caption = Figure().subplots().set_title("")
    style.write_name(caption, name)
    assert caption.get_text() == shown


def test_a_character_that_the_plots_font_lacks_is_drawn_in_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(style, "FONT", "cmtt10")  # ASCII only; comes with matplotlib
    style._font_with.cache_clear()
    caption = Figure().subplots().set_title("")
    style.write_name(caption, "aж")
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


@pytest.mark.parametrize("name", ["=1+1.jpg", "+a.jpg", "-a/b.jpg", "@a", "＝1", "a=1.jpg", "-"])
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
