"""``python -m jentmax.cli``."""

from jentmax.cli import main

if __name__ == "__main__":
    main()
