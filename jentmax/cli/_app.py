"""The app of the command line, shared options, settings and error handling."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from jentmax import __version__
from jentmax.cli._streams import failure, guard
from jentmax.dataset import printable
from jentmax.errors import JentmaxError, LeftOut

if TYPE_CHECKING:
    from jentmax.config import RunOptions


class _Commands(TyperGroup):
    """Commands that end with one line on Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exit with 130, the shell's code for Ctrl-C, if interrupted.

        Raises:
            JentmaxError: a command that only prints cannot write its output.
        """
        try:
            result = super().invoke(ctx)
            if ctx.invoked_subcommand in ("info", "config") and (why := failure()):
                raise JentmaxError(
                    f"standard output cannot be written: {why}; the output is incomplete"
                )
            return result
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            # If the interrupt hit code in an exec, such as that of dataclasses, CPython would exit
            # by the signal instead of the code. Another exec resets this state.
            exec("")
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    name="jentmax",
    help="Training sets for machine-learned interatomic potentials by entropy maximisation.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"jentmax {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before the command."""


SettingsArgument = Annotated[
    Path | None,
    typer.Argument(help="TOML file of settings, or the name of a preset.", show_default=False),
]


def _presets(incomplete: str) -> list[str]:
    from jentmax.config import presets

    return [name for name in presets() if name.startswith(incomplete)]


Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings to start from, instead of a file.",
        show_default="tungsten",
        autocompletion=_presets,
    ),
]
Element = Annotated[
    str | None,
    typer.Option(
        help="Scale lengths, times, mass and formula to this element.", show_default=False
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[TABLE.]KEY=VALUE",
        help="Change a setting; may be repeated.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(help="ASE's name of the file's format.", show_default="from its content or name"),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(help="ASE's name of the output's format.", show_default="from its name"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Do not cache programs, batch sizes or descriptors."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]
SettingsFile = Annotated[
    Path | None, typer.Option(help="TOML file of settings.", show_default=False)
]


def main() -> None:
    """Run the command line; bad input exits with code 2."""
    guard()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # our figures ignore its settings
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            app(prog_name="jentmax")
    except JentmaxError as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        sys.exit(2)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning in one line, without the location in a library's code."""
    first = str(message).strip().partition("\n")[0]
    sys.stderr.write(f"warning: {printable(first)}\n")


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """Print a line for each `LeftOut` warning; other warnings are shown as usual."""

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, LeftOut):
            print(f"note: {printable(str(message))}")
        else:
            usual(message, category, *rest, **more)

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.showwarning = show
        warnings.simplefilter("always", LeftOut)
        yield


def prepare(no_cache: bool) -> Path | None:
    """Prepare the process for JAX, before importing it; returns the cache folder or None."""
    from jentmax import devices

    devices.quieten()
    if no_cache:
        return None
    devices.use_cache()
    return devices.cache_folder()


class Settings(NamedTuple):
    """Contents of a settings file or preset.

    Attributes:
        tree: plain tree of the recipe.
        options: options of the run.
        label: name of the file or preset in messages.
    """

    tree: dict[str, Any]
    options: RunOptions
    label: str


def load_settings(
    source: Path | None, preset: str | None, overrides: Sequence[str], element: str | None
) -> Settings:
    """Load settings from a file or a preset."""
    from jentmax.config import label_of, load, preset_text

    if source is not None and preset is not None:
        raise JentmaxError(
            f"--preset {preset} and the settings file {source} exclude each other; give one of them"
        )
    given: str | Path | None = source
    if preset is not None:
        preset_text(preset)  # raises an error for an unknown name, even if a file has it
        given = preset
    elif source is not None and not source.exists():
        given = str(source)  # the name of a preset
    return Settings(*load(given, overrides, element), label_of(given))


def descriptor_for(
    files: Sequence[Path],
    source: Path | None,
    preset: str | None,
    overrides: Sequence[str],
    element: str | None,
) -> Any:
    """The descriptor for some files; call `prepare` first.

    Without settings, this is the descriptor of the first data set among the files or, if none is a
    data set, that of the preset tungsten.
    """
    from jentmax.config import descriptor_from
    from jentmax.devices import start

    start()
    recipe, label = _own_recipe(files) if source is preset is element is None else (None, "")
    if recipe is not None:
        return descriptor_from(recipe, overrides, label=label)
    settings = load_settings(source, preset, overrides, element)
    return descriptor_from(settings.tree, own_code=True, label=settings.label)


def stored_precision(
    path: Path,
    source: Path | None,
    preset: str | None,
    overrides: Sequence[str],
    element: str | None,
) -> Any:
    """The precision in the settings that describe a file, or of the file's own descriptors."""
    recipe, _ = _own_recipe([path]) if source is preset is element is None else (None, "")
    if recipe is None:
        recipe = load_settings(source, preset, overrides, element).tree
    elif "precision" not in recipe:
        from jentmax.dataset import Dataset

        with Dataset(path) as dataset:
            return dataset.descriptors.dtype.name
    return recipe.get("precision", "float32")


def _own_recipe(files: Sequence[Path]) -> tuple[dict[str, Any] | None, str]:
    """The recipe of the first data set among some files, and its name in messages."""
    import h5py

    from jentmax.dataset import Dataset, Parts

    for path in files:
        if (path.is_file() and h5py.is_hdf5(path)) or Parts(path).exists():
            with Dataset(path) as dataset:
                return dataset.recipe, f"settings of {path}"
    return None, ""
