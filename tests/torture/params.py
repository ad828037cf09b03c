"""`params.yaml` with anything in it: other values, other keys, other text."""

import copy
import io
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pandacat.config.loading import load_config
from pandacat.core.errors import PandacatError
from torture.damage import damaged

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 1e-300, 0.5, 1.5, -0.0, 1e308, float("inf"), float("nan")),
    *(2**31, 2**32, 2**64, 10**30, "", " ", "0", "1", "1e-5", "yes", "null", "NaN", "ä\u0301"),
    *("../..", "a/b", "x" * 5000, [], [1], [1, 2], ["a"], [[]], [None, None], [2.0, 1.0]),
    *({}, {"a": 1}, {"a": {"b": []}}, [{}], [{"metric": "x"}]),
)  # fmt: skip

ODD_TEXTS = (
    *("yes", "No", "0o17", "017", "0x1F", "1_000", "1e5", "1e999", "-.inf", ".NaN", "+1", "1:30"),
    *("2026-11-23", "2026-11-23T10:00:00Z", "~", "!!str 5", "!!int '5'", "!!binary aGk=", "="),
    *("!!python/object/apply:os.system [echo]", "!custom x", "&a [*a]", "*nobody", "{<<: {a: 1}}"),
    *("!!set {a}", "|\n    text", ">-\n    text", "'", '"', "[", "{", "? [a]\n: b", "- 1", "<<"),
    *("\t5", "5\t", "@x", "`x`", "# nothing", "5 # five", "5#5", "[1, 2", "{a: 1, a: 2}", "---"),
    *("\x85", "\x07", "9" * 5000, "[" * 600, "{a: " * 500, "0.1.2", "1,5", "1 000", "１２", "..."),
    *("\ufeff5", "%TAG ! x"),
)  # fmt: skip

ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-16", "cp1252")


def mutant(number: int) -> bytes:
    """Return a file in place of `params.yaml`; its first line names the key that was changed."""
    generator = random.Random(f"params {number}")
    if number % 3 == 0:
        return _changed(generator)
    if number % 3 == 1:
        return b"#\n" + _other_text(generator)
    return b"#\n" + damaged([TEXT.encode()], generator)


def examine(data: bytes) -> str:
    """Load it: params, or an error that names the changed key."""
    key = data.partition(b"\n")[0].decode().removeprefix("#").strip()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_bytes(data)
        try:
            load_config(path)
        except PandacatError as error:
            text = str(error)
            assert len(text) < 4000, f"{len(text)} characters"
            named = [part in text for part in key.split(".") if not part.isdigit()]
            assert all(named), f"{key!r} is not named: {text[:300]}"
            return "refused"
    return "valid"


@cache
def _content() -> Any:
    return YAML(typ="safe", pure=True).load(TEXT)


def _changed(generator: random.Random) -> bytes:
    """Change one value, leave one key out, add one, or misspell one."""
    content = copy.deepcopy(_content())
    path, place, key = generator.choice(list(places(content)))
    above = path[: -len(str(key))].rstrip(".")
    way = generator.choice(("value", "value", "value", "leave out", "add", "misspell"))
    if way == "value":
        place[key] = copy.deepcopy(generator.choice(ODD_VALUES))
    elif way == "leave out" and isinstance(place, dict):
        del place[key]
    elif way == "misspell" and isinstance(place, dict):
        letters = list(key)
        letters.insert(generator.randrange(len(key) + 1), generator.choice("aeiou_-. "))
        place["".join(letters)] = place.pop(key)
        path = above
    elif isinstance(place, dict):
        place[generator.choice(("new", "1", "", "ключ"))] = generator.choice(ODD_VALUES)
        path = above
    else:
        place.insert(0, copy.deepcopy(generator.choice(ODD_VALUES)))
        path = above
    stream = io.BytesIO()
    YAML(typ="safe", pure=True).dump(content, stream)
    return f"# {path}\n".encode() + stream.getvalue()


def places(content: Any, above: str = "") -> list[tuple[str, Any, Any]]:
    """Return (dotted name, the map or list it is in, its key there) of everything."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    found = []
    for key, value in pairs:
        name = f"{above}.{key}" if above else str(key)
        found.append((name, content, key))
        if isinstance(value, dict | list):
            found += places(value, name)
    return found


def _other_text(generator: random.Random) -> bytes:
    """Change the text: odd spellings of values, lines moved, doubled and indented."""
    lines = TEXT.splitlines()
    for _ in range(generator.choice((1, 1, 2))):
        number = generator.randrange(len(lines))
        way = generator.choice(("value", "value", "value", "out", "double", "indent", "insert"))
        if way == "value":
            name, colon, _rest = lines[number].partition(":")
            lines[number] = f"{name}{colon} {generator.choice(ODD_TEXTS)}"
        elif way == "out":
            del lines[number]
        elif way == "double":
            lines.insert(generator.randrange(len(lines)), lines[number])
        elif way == "indent":
            lines[number] = generator.choice((" ", "  ", "\t")) + lines[number]
        else:
            lines.insert(number, generator.choice(ODD_TEXTS))
    return "\n".join(lines).encode(generator.choice(ENCODINGS), "replace")
