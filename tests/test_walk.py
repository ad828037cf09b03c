"""The commands of docs/walk.md, which `make walk` types, exist with these arguments."""

import shlex
import shutil

import pytest
from dvc_stages import ROOT, declared_stages
from walk import REFUSABLE, SMALLER, typed, walk_commands

from pandacat.app import cli

COMMANDS = walk_commands()


def test_the_page_goes_from_photos_to_the_next_release() -> None:
    """The order that the script relies on, and the words that it replaces."""
    starts = ["dvc repro", "git commit", "pandacat registry register", "pandacat registry promote"]
    starts += ["pandacat serve", "curl", "curl", "kill", "pandacat score", "python", "sed"]
    starts += [*starts[:4], "pandacat registry show", "pandacat registry rollback"]
    assert len(COMMANDS) == len(starts)
    assert all(map(str.startswith, COMMANDS, starts)), COMMANDS
    assert set(REFUSABLE) <= set(COMMANDS)
    assert all(any(part in command for command in COMMANDS) for part in SMALLER)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_exists(command: str) -> None:
    program, *words = shlex.split(command.removesuffix(" &"))
    if program == "pandacat":
        assert callable(cli._parser().parse_args(words).run)
    elif program == "dvc":
        assert words[:1] == ["repro"]
        assert {*words[1:]} <= declared_stages().keys()
    elif program == "sed":
        assert (ROOT / words[-1]).is_file()
    else:
        assert program == "kill" or shutil.which(program)


def test_the_script_stops_at_a_command_that_fails() -> None:
    assert "if [ $code != 0 ]; then exit 1" in typed("dvc repro")
    assert "if [ $code -gt 1 ]; then exit 1" in typed(REFUSABLE[0])
