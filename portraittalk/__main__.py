"""Entry point of ``python -m portraittalk``."""

from .cli import main

main()
