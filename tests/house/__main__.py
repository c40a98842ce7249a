"""Print the measures and the problems; exit with 1 where there are problems and `--strict` is given."""

import sys

from .report import measures, problems


def main() -> int:
    """Print both; return the exit code."""
    print("\n".join(measures()))
    found = list(problems())
    print(f"problems: {len(found)}")
    for problem in found:
        print(f"  {problem}")
    return int(bool(found) and "--strict" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
