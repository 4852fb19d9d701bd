import pytest
from dataset_files import CHUNK, finished, under_way


@pytest.fixture
def path(tmp_path):
    return finished(tmp_path / "set.h5")


@pytest.fixture
def parts(tmp_path):
    return under_way(tmp_path / "set.h5")


@pytest.fixture
def part(parts):
    return parts.folder / CHUNK.file_name


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen, once, while a function of a module or a class is called."""

    def change(owner, name, action):
        function = getattr(owner, name)

        def late(*arguments):
            monkeypatch.setattr(owner, name, function)
            action()
            return function(*arguments)

        monkeypatch.setattr(owner, name, late)

    return change
