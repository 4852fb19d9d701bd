"""The command line. Each command imports heavy packages only when it needs them."""

# ruff: isort: skip_file
try:
    # Each module registers its commands with the app, which lists them in this order.
    from jentmax.cli import _generate as _generate
    from jentmax.cli import _evaluate as _evaluate
    from jentmax.cli import _select as _select
    from jentmax.cli import _files as _files
    from jentmax.cli import _config as _config
    from jentmax.cli._app import main as main
except KeyboardInterrupt:  # Ctrl-C during the imports
    raise SystemExit(130) from None
