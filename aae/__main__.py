"""`python -m aae` is the command `aae`."""

from aae.command import main

main()
