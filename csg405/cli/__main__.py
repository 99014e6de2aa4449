"""`python -m csg405.cli`, the same as `csg405`."""

from csg405.cli import main

if __name__ == "__main__":
    main()
