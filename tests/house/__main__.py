"""Print the measurements and the problems. With `--strict`, exit with 1 if there are problems."""

import sys

from .report import measures, problems


def main() -> int:
    """Print the measurements and the problems, and return the exit code."""
    print("\n".join(measures()))
    found = list(problems())
    print(f"problems: {len(found)}")
    for problem in found:
        print(f"  {problem}")
    return int(bool(found) and "--strict" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
