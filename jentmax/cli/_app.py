"""The command line's frame: the app, options that several commands have, settings, errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from jentmax._output import printable
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from jentmax.config import Settings


class _Commands(TyperGroup):
    """Commands that Ctrl-C ends without more words than needed."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run a command; 130 is the shell's code for what Ctrl-C has ended."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            # CPython remembers if code in an exec was interrupted, dataclasses' say, and would end
            # by the signal instead of the code; the next exec makes it forget.
            exec("")
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    name="jentmax",
    help="Training sets for machine-learned interatomic potentials by entropy maximisation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SettingsArgument = Annotated[
    Path | None,
    typer.Argument(help="TOML file of settings, or the name of a preset.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option(help="Settings to start from, instead of a file.", show_default="tungsten"),
]
Element = Annotated[
    str | None,
    typer.Option(help="Scale lengths, mass and species to this element.", show_default=False),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change a setting; may be repeated.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache", help="Keep nothing in the cache: programs, batch sizes, descriptors."
    ),
]
SettingsFile = Annotated[
    Path | None, typer.Option(help="TOML file of settings.", show_default=False)
]


def main() -> None:
    """Run the command line; input that cannot be used ends with exit code 2."""
    try:
        app(prog_name="jentmax")
    except JentmaxError as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        sys.exit(2)


def prepare(no_cache: bool) -> Path | None:
    """Tell XLA what it has to know before JAX is imported; the cache's folder, None without one."""
    from jentmax.devices import cache_folder, quieten, use_cache, use_every_core

    quieten()
    use_every_core()
    if no_cache:
        return None
    use_cache()
    return cache_folder()


def load_settings(
    source: Path | None, preset: str | None, overrides: Sequence[str], element: str | None
) -> Settings:
    """Settings from a file or a preset."""
    from jentmax.config import load, preset_text

    if source is not None and preset is not None:
        raise JentmaxError(
            f"--preset {preset}: a settings file, {source}, is given too; give one of them"
        )
    if preset is not None:
        preset_text(preset)  # refuses what is no preset, even where a file has that name
    elif source is not None and not source.exists():
        preset = str(source)
    return load(source if preset is None else preset, overrides, element)


def settings_for(
    files: Sequence[Path],
    source: Path | None,
    preset: str | None,
    overrides: Sequence[str],
    element: str | None,
) -> Settings:
    """Settings to describe files with: where none are named, those of the first data set."""
    if source is preset is element is None:
        import h5py

        from jentmax.config import loads
        from jentmax.dataset import Dataset

        for path in files:
            if path.is_file() and h5py.is_hdf5(path):
                with Dataset(path) as dataset:
                    return loads(dataset.settings, f"settings of {path}", overrides)
    return load_settings(source, preset, overrides, element)
