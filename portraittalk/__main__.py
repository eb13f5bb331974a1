"""``python -m portraittalk`` is the command line."""

from .cli import main

main()
