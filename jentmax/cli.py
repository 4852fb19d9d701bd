"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jentmax._output import refuse_existing, writing
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from jentmax.config import Settings

app = typer.Typer(
    name="jentmax",
    help="Training sets for machine-learned interatomic potentials by entropy maximisation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(
    name="config", help="Write and check settings files.", no_args_is_help=True
)
app.add_typer(config_app)

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
        "--no-cache", help="Keep no compiled programs and no measured batch sizes on disk."
    ),
]


@app.command()
def generate(
    settings: SettingsArgument = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    structures: Annotated[
        int | None, typer.Option(help="Structures to make.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all randomness.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HDF5 file to write.", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Structures side by side on each device; by default what is fastest.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(help="CPU cores or GPUs to use; by default all.", show_default=False),
    ] = None,
    precision: Annotated[
        Literal["float32", "float64"] | None,
        typer.Option(help="Floating-point type.", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make structures full of different atomic environments."""
    flags = {
        "structures": structures,
        "seed": seed,
        "output": None if output is None else str(output),
        "batch_size": batch_size,
        "devices": devices,
        "precision": precision,
    }
    given = [
        f"run.{name}={json.dumps(value, ensure_ascii=False)}"  # TOML has no surrogate pairs
        for name, value in flags.items()
        if value is not None
    ]
    resolved = _load(settings, preset, [*(overrides or []), *given], element)
    refuse_existing(Path(resolved.run.output), overwrite)

    from jentmax.devices import cache_folder, quieten, use_cache, use_every_core

    quieten()
    use_every_core()
    if not no_cache:
        use_cache()

    from jentmax.console import Console

    with Console(resolved, quiet=quiet) as console:
        from jentmax.generation import generate as run

        console.begin()
        cache = None if no_cache else cache_folder()
        path = run(resolved, overwrite=overwrite, report=console.report, cache=cache)
    console.summary(path)


@app.command()
def info(path: Annotated[Path, typer.Argument(help="Data set file (HDF5).")]) -> None:
    """Show what is in a data set."""
    from jentmax.console import print_info
    from jentmax.dataset import Dataset

    with Dataset(path) as dataset:
        print_info(dataset)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Data set file (HDF5).")],
    output: Annotated[
        str,
        typer.Argument(
            help="File to write; its ending tells the format. A folder (ending in /) gets POSCARs."
        ),
    ],
    format: Annotated[
        str | None, typer.Option(help="ASE's name of the format.", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write structures in any format that ASE writes."""
    from jentmax.dataset import Dataset
    from jentmax.export import export as run

    with Dataset(path) as dataset:
        run(dataset, output, format, overwrite=overwrite)
        typer.echo(f"{len(dataset)} structures written to {output}")


@app.command()
def describe(
    path: Annotated[Path, typer.Argument(help="File that ASE reads, or a data set.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    settings: Annotated[
        Path | None, typer.Option(help="TOML file of settings.", show_default=False)
    ] = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
) -> None:
    """Compute the descriptors of given structures."""
    resolved = _load(settings, preset, overrides or [], element)
    refuse_existing(output, overwrite)

    from jentmax.devices import quieten, use_cache, use_every_core

    quieten()
    use_every_core()
    if not no_cache:
        use_cache()

    from jentmax.console import print_info
    from jentmax.dataset import Dataset
    from jentmax.describe import describe_file

    with Dataset(describe_file(path, output, resolved, overwrite)) as dataset:
        print_info(dataset)


@config_app.command("init")
def config_init(
    path: Annotated[Path, typer.Argument(help="TOML file to write.")],
    preset: Annotated[str, typer.Option(help="Settings to write.")] = "tungsten",
    overwrite: Overwrite = False,
) -> None:
    """Write a preset as a commented settings file."""
    from jentmax.config import preset_text

    text = preset_text(preset)
    refuse_existing(path, overwrite)
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    typer.echo(f'{path}: the settings of preset "{preset}"')


@config_app.command("check")
def config_check(
    settings: Annotated[Path, typer.Argument(help="TOML file of settings.")],
    element: Element = None,
    overrides: Overrides = None,
) -> None:
    """Check a settings file."""
    _load(settings, None, overrides or [], element)
    typer.echo(f"{settings}: good")


@config_app.command("show")
def config_show(
    settings: SettingsArgument = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
) -> None:
    """Print all settings as TOML, defaults filled in."""
    from jentmax.config import to_toml

    typer.echo(to_toml(_load(settings, preset, overrides or [], element)), nl=False)


@config_app.command("presets")
def config_presets() -> None:
    """List the presets."""
    from jentmax.config import preset_text, presets

    for name in presets():
        typer.echo(f"{name:20} {preset_text(name).splitlines()[0].lstrip('# ')}")


def main() -> None:
    """Run the command line; input that cannot be used ends with exit code 2."""
    try:
        app(prog_name="jentmax")
    except JentmaxError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _load(
    source: Path | None, preset: str | None, overrides: list[str], element: str | None
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


if __name__ == "__main__":
    main()
