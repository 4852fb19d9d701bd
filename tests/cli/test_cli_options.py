"""Options that every command has, and completion in the shell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import jentmax
from jentmax.cli._app import app


def commands(group, name=""):
    """Names of a group's commands, and of those below, as one writes them."""
    yield name
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {word}".strip())


COMMANDS = list(commands(get_command(app)))


def test_version(good):
    assert good("--version") == f"jentmax {jentmax.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_short_help(good, command):
    shown = good(f"{command} -h")
    assert f"Usage: jentmax {command}".rstrip() in shown
    assert shown == good(f"{command} --help")


def test_the_commands_are_known():
    assert {"generate", "info", "config", "config show"} < set(COMMANDS)


@pytest.fixture
def completed(tmp_path):
    """Install completion for bash in an empty home, and complete a line with it."""
    command = Path(sys.executable).with_name("jentmax")
    environment = os.environ | {"HOME": str(tmp_path)}

    def bash(script):
        # Without the last command bash would become jentmax, which looks for the shell around it.
        words = ["bash", "-c", f"set -e\n{script}\ntrue"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    bash(f"{command} --install-completion")
    assert (tmp_path / ".bashrc").exists()

    def complete(line):
        words = line.split(" ")
        return bash(
            f"source ~/.bashrc\nCOMP_WORDS=({line})\nCOMP_CWORD={len(words) - 1}\n"
            f'_jentmax_completion {command}\necho "${{COMPREPLY[@]}}"'
        )

    return complete


@pytest.mark.slow
def test_completion(completed):
    assert completed("jentmax gen") == ["generate"]
    assert completed("jentmax info --che") == ["--check"]
    found = completed("jentmax generate --preset tungsten-")
    assert "tungsten-diverse" in found
    assert all(name.startswith("tungsten-") for name in found)
