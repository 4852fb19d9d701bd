"""``python -m jentmax.cli``."""

from jentmax.cli import main

main()
