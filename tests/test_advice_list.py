"""The list of messages in docs/reliability.md is complete, and the tests that it names exist."""

import ast
import re
from collections.abc import Iterator

import pytest
from conftest import ROOT

SECTION = (ROOT / "docs/reliability.md").read_text().partition("## Advice\n")[2]
LIST = " ".join(SECTION.partition("\n## ")[0].split())

SAYING = {
    *("PandacatError", "UnreadablePhotoError", "EntryError", "NoFeatureMapError", "TransferError"),
    *("print_status", "_warn", "_refused", "_unknown", "reject", "exit", "error"),
    *("print", "write", "exception", "HTTPException", "busy", "_broken", "ArgumentTypeError"),
}
"""What is called with a text for the user."""

SCRIPTS = ("Makefile", ".ci/run", "stages/run")
"""Where a text for the user follows `echo`."""

PAGE = "src/pandacat/service/static/page.js"

CHECKS = [ROOT / "src/pandacat/labels.py", *(ROOT / "src/pandacat/config").glob("*.py")]
"""Where a `ValueError` is for the user, too."""

SHARED = 16
"""So many characters in a row make the list's text that of a message."""


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the literal texts in an expression, longer than a word or two."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield from (" ".join(line.split()) for line in part.value.splitlines())


def messages() -> dict[str, list[str]]:
    """Return the literal texts of each message, by the line of code that has it."""
    found = {}
    for path in [*sorted((ROOT / "src/pandacat").rglob("*.py")), *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called in SAYING or (called == "ValueError" and path in CHECKS):
                    parts = [text for argument in node.args for text in texts(argument)]
                    found[f"{path.relative_to(ROOT)}:{node.lineno}"] = parts
    for name in SCRIPTS:
        for text in re.findall(r'echo "([^"]+)"', (ROOT / name).read_text()):
            found[f"{name}: {text}"] = [text.replace("\\`", "`")]
    server = (ROOT / PAGE).read_text().partition("- the server\n")[2].partition("\n// ---")[0]
    for _, text in re.findall(r"""(["`])(.+?)\1""", server):
        found[f"{PAGE}: {text}"] = re.split(r"\$\{.*?\}", text)
    long = {
        place: [text for text in parts if len(text) >= SHARED and " " in text.strip()]
        for place, parts in found.items()
    }
    return {place: parts for place, parts in long.items() if parts}


def is_listed(text: str) -> bool:
    windows = range(len(text) - SHARED + 1)
    return any(text[start : start + SHARED] in LIST for start in windows)


@pytest.mark.parametrize(("place", "parts"), messages().items())
def test_a_message_is_on_the_list(place: str, parts: list[str]) -> None:
    assert any(map(is_listed, parts)), f"docs/reliability.md, Advice, lacks this: {parts}"


def test_each_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", LIST))
    assert named
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
