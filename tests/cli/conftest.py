"""A data set made once, and command lines that cannot work."""

import pytest
from cli_runs import SETTINGS, contents, write_text

import jentmax


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A data set made once, from Python."""
    folder = tmp_path_factory.mktemp("ready")
    write_text(folder / "run.toml", SETTINGS)
    recipe = jentmax.recipe(folder / "run.toml")
    return jentmax.generate(recipe, structures=11, output=folder / "set.h5")


@pytest.fixture
def bad(call):
    """Run a command line that cannot work; its one message. Every file stays as it was."""

    def run(*words):
        before = contents()
        code, output, errors = call(*words)
        assert code == 2
        assert output == ""
        assert errors.startswith("error: ")
        assert errors.endswith("\n")
        assert errors.count("error:") == 1
        assert "Traceback" not in errors
        assert "\x1b" not in errors
        assert contents() == before
        return errors

    return run
