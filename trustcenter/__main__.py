"""`python -m trustcenter`: the same as the installed program."""

from trustcenter.cli import main

if __name__ == "__main__":
    main()
