"""`python -m sac` is the command `sac`."""

from .cli import main

main()
