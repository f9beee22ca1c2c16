"""`python -m trustcenter.cli` is `trustcenter`."""

from . import main

main(prog_name="trustcenter")
