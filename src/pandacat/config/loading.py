"""Read `params.yaml`; what is wrong with it becomes a sentence for each key."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pandacat.config.schema import Config
from pandacat.core.errors import PandacatError
from pandacat.core.paths import DEFAULT_PARAMS, PARAMS

LARGEST_CHARACTERS = 1_000_000


def load_config(path: Path = PARAMS) -> Config:
    """Return the checked content of `params.yaml`.

    Read as YAML 1.2, in which `1e-05`, as DVC writes it, is a number.

    Raises:
        PandacatError: the file is missing or not YAML, or a key is unknown, missing, of the wrong
            type or out of range; the text names each such key and what is allowed.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PandacatError(f"There is no {path}: run from the project's top folder.") from None
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = _cut(" ".join(str(error).split()), 500)
        raise PandacatError(f"{path} is not readable as YAML: {reason}") from None
    return parse_config(content, name=str(path))


def default_config() -> Config:
    """Return the parameters that the package brings along."""
    return load_config(DEFAULT_PARAMS)


def parse_config(content: object, name: str = "params.yaml") -> Config:
    """Return `content`, as YAML gives it, as a checked `Config`, or raise `PandacatError`."""
    try:
        return TypeAdapter(Config).validate_json(_as_json(content))
    except ValidationError as error:
        found = error.errors()
    except (TypeError, ValueError, RecursionError) as error:
        raise PandacatError(
            f"{name}: only numbers, texts, lists and maps are allowed: {error}"
        ) from None
    faults = [_sentence(fault, found) for fault in found]
    raise PandacatError("\n".join([f"{name} needs a change:", *faults]))


def _as_json(content: object) -> str:
    """Return JSON, in which other types of YAML, such as dates, become text."""
    text = ""
    for part in json.JSONEncoder(default=str).iterencode(content):
        text += part
        if len(text) > LARGEST_CHARACTERS:  # a few lines of aliases can stand for terabytes
            raise ValueError("it is far too large")
    return text


def _sentence(fault: Mapping[str, Any], all_faults: Sequence[Mapping[str, Any]]) -> str:
    *parents, last = [part for part in fault["loc"] if part != "[key]"] or ["the file"]
    key = _cut(".".join(map(str, (*parents, last))), 200)
    if fault["type"] == "missing":
        return f"  {key}: is missing"
    if fault["type"] == "unexpected_keyword_argument":
        return f"  {key}: is not a known key{_near(last, parents, all_faults)}"
    if fault["type"] == "value_error":
        message = _cut_inside(fault["msg"].removeprefix("Value error, "), 600)
        return f"  {key}: {message}" if fault["loc"] else f"  {message}"
    return f"  {key}: {fault['msg']} (it is {_cut(repr(fault['input']), 80)})"


def _near(key: object, parents: Sequence[object], faults: Sequence[Mapping[str, Any]]) -> str:
    """Suggest which missing key an unknown one beside it may stand for."""
    missing = [
        str(fault["loc"][-1])
        for fault in faults
        if fault["type"] == "missing" and list(fault["loc"][:-1]) == list(parents)
    ]
    return "".join(f"; is {near} meant?" for near in get_close_matches(str(key), missing, n=1))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _cut_inside(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2]} … {text[-length // 2 :]}"
