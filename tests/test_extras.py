"""Each extra agrees with the versions of the rest, and its licenses with that of the project."""

import re
from importlib.metadata import PackageNotFoundError
from importlib.metadata import metadata as metadata_of

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_dependencies import EXTRAS, PIN, PROJECT, pins


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_lock_of_an_extra_has_hashes_and_the_versions_of_the_rest(extra: str) -> None:
    text = (ROOT / f"extras/{extra}.lock").read_text()
    entries = PIN.split(text)[1:]
    for package, content in zip(entries[::3], entries[2::3], strict=True):
        assert "--hash=sha256:" in content, package
    locked, rest = pins(f"extras/{extra}.lock"), pins("requirements.lock")
    common = locked.keys() & rest.keys()
    assert {name: locked[name] for name in common} == {name: rest[name] for name in common}
    pinned = pins_with_extras(extra)
    assert {name: locked[name] for name in pinned} == pinned
    for text in PROJECT["optional-dependencies"][extra]:
        needed = Requirement(text)
        assert needed.specifier.contains(pinned[canonicalize_name(needed.name)])


def pins_with_extras(extra: str) -> dict[str, str]:
    text = re.sub(r"\[\w+\]", "", (ROOT / f"extras/{extra}.txt").read_text())
    return {canonicalize_name(package): version for package, version in PIN.findall(text)}


def license_of(package: str) -> str:
    """Return all that the package's metadata says of its license; long texts are cut."""
    about = metadata_of(package)
    classifiers = [text for text in about.get_all("Classifier", []) if "License" in text]
    names = ("License-Expression", "License")
    fields = [about[name][:100] for name in names if name in about]
    return "; ".join(filter(None, [*fields, *classifiers]))


@pytest.mark.parametrize("extra", EXTRAS)
def test_no_license_of_an_extra_asks_for_more_than_mention(extra: str) -> None:
    added = pins(f"extras/{extra}.lock").keys() - pins("requirements.lock").keys()
    try:
        licenses = {package: license_of(package) for package in added}
    except PackageNotFoundError:
        pytest.skip(f"the extra {extra} is not installed: make extra-{extra}")
    assert all(licenses.values())
    assert [item for item in licenses.items() if re.search("GPL|General Public", item[1])] == []
