"""The list of messages in docs/reliability.md is complete, and the tests that it names exist."""

import ast
import re
from collections.abc import Iterator

import pytest
from conftest import ROOT

LIST = (ROOT / "docs/reliability.md").read_text().partition("## Advice\n")[2].partition("\n## ")[0]

SAYING = {
    *("PandacatError", "UnreadablePhotoError", "EntryError", "NoFeatureMapError", "TransferError"),
    *("print_status", "_warn", "_refused", "_unknown", "reject", "exit", "error"),
    "ArgumentTypeError",
}
"""What is called with a text for the user."""

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
    for path in sorted((ROOT / "src/pandacat").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called in SAYING or (called == "ValueError" and path in CHECKS):
                    parts = [text for argument in node.args for text in texts(argument)]
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found[place] = [text for text in parts if len(text) >= SHARED]
    return {place: parts for place, parts in found.items() if parts}


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
