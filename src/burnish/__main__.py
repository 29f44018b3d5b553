"""`python -m burnish` is `burnish`."""

from burnish.cli import entry

if __name__ == "__main__":
    entry()
