"""`python -m archforge` is the command `archforge`."""

from archforge.cli import main

if __name__ == "__main__":
    main()
