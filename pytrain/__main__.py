"""`python -m pytrain`."""

from pytrain.cli import main

if __name__ == "__main__":
    main()
