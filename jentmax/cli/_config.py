"""jentmax config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from jentmax.cli._app import (
    Element,
    Overrides,
    Overwrite,
    Preset,
    SettingsArgument,
    app,
    load_settings,
    prepare,
)
from jentmax.dataset import refuse_existing, through_links, writing

config_app = typer.Typer(
    name="config", help="Write and check settings files.", no_args_is_help=True
)
app.add_typer(config_app)


@config_app.command("init")
def config_init(
    path: Annotated[Path, typer.Argument(help="TOML file to write.")],
    preset: Annotated[str, typer.Option(help="Settings to write.")] = "tungsten",
    overwrite: Overwrite = False,
) -> None:
    """Write a preset as a settings file with a comment for each field."""
    from jentmax.config import commented, preset_text

    preset_text(preset)  # raises an error for an unknown name
    refuse_existing(path, overwrite)
    text = commented(preset)
    target = through_links(path)
    partial = target.with_name(f".{target.name}.partial")
    with writing(path):
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    print(f'{path}: the settings of preset "{preset}"')


@config_app.command("check")
def config_check(
    settings: Annotated[Path, typer.Argument(help="TOML file of settings.")],
    element: Element = None,
    overrides: Overrides = None,
) -> None:
    """Check a settings file, and test your own code that it names."""
    prepare(no_cache=False)
    given = load_settings(settings, None, overrides or [], element)
    from jentmax.config import recipe_from
    from jentmax.devices import start

    start()
    recipe_from(given.tree, own_code=True, label=given.label)
    print(f"{settings}: good")


@config_app.command("show")
def config_show(
    settings: SettingsArgument = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
) -> None:
    """Print all settings as TOML, including defaults."""
    import dataclasses

    from jentmax.config import complete, to_toml

    given = load_settings(settings, preset, overrides or [], element)
    tree = complete(given.tree, given.label) | {"run": dataclasses.asdict(given.options)}
    print(to_toml(tree), end="")


@config_app.command("presets")
def config_presets() -> None:
    """List the presets."""
    from jentmax.config import preset_text, presets

    for name in presets():
        print(f"{name:20} {preset_text(name).splitlines()[0].lstrip('# ')}")
