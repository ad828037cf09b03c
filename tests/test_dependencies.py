"""The lock holds what requirements.txt and constraints.txt say, and a hash for each download."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    found = PIN.findall((ROOT / name).read_text())
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_the_lock_has_the_versions_of_the_other_two_files() -> None:
    wanted = pins("requirements.txt") | pins("constraints.txt")
    locked = pins("requirements.lock")
    renew = "renew the lock with the command in its second line"
    assert {package: locked.get(package) for package in wanted} == wanted, renew


def test_every_package_in_the_lock_has_hashes() -> None:
    entries = PIN.split((ROOT / "requirements.lock").read_text())[1:]
    for package, content in zip(entries[::3], entries[2::3], strict=True):
        assert "--hash=sha256:" in content, package
