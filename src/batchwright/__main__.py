"""`python -m batchwright` is the same as the `batchwright` command."""

from batchwright.serve import main

if __name__ == "__main__":
    main()
