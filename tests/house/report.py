"""Report the measurements of the code, and the problems that fail the check."""

from __future__ import annotations

from collections.abc import Iterator

from . import sizes, words
from .source import PACKAGES


def measures() -> Iterator[str]:
    """Yield the measurements as lines to print."""
    lengths, (median, p90) = sizes.lengths(), sizes.median_and_p90()
    files, small = sizes.files(), sizes.small_files()
    yield f"Measured: {', '.join(PACKAGES)}, without migrations."
    yield "A function counts from `def` to its last line with its docstring, without decorators; nested ones count too."
    yield f"functions: {len(lengths)}, median {median:g} lines (7 to 12), p90 {p90:g} (at most {sizes.MOST_P90})"
    long = [f"  {lines:3} {place}" for lines, place in lengths if lines > sizes.MOST_P90]
    yield f"functions over {sizes.MOST_P90} lines: {len(long)}"
    yield from long
    yield f"files: {len(files)}, of which {len(small)} under {sizes.FEW_LINES} lines ({len(small) / len(files):.0%})"
    yield from (f"  {lines:3} {place}" for place, lines in sorted(small.items()))
    top = sizes.entries_at_the_top()
    yield f"own packages and modules of sagas: {len(top)} (at most {sizes.MOST_AT_THE_TOP}): {', '.join(top)}"


def problems() -> Iterator[str]:
    """Yield a line for each size that exceeds its limit and for each name that breaks a rule."""
    yield from _sizes()
    yield from (f"over {sizes.MOST_LINES} lines: {file}" for file in sizes.large_files())
    yield from (f"the glossary says not {word!r}: {found.kind} {found.name}, {found.place}" for word, found in _words())
    yield from (f"test name over {sizes.MOST_CHARACTERS} characters: {name}" for name in sizes.long_test_names())


def _sizes() -> Iterator[str]:
    median, p90 = sizes.median_and_p90()
    if not sizes.MEDIAN[0] <= median <= sizes.MEDIAN[-1]:
        yield f"the median function has {median:g} lines, not {sizes.MEDIAN[0]} to {sizes.MEDIAN[-1]}"
    if p90 > sizes.MOST_P90:
        yield f"p90 of the functions is {p90:g} lines, over {sizes.MOST_P90}"
    small, files = len(sizes.small_files()), len(sizes.files())
    if small > files * sizes.MOST_SMALL_FILES:
        yield f"{small} of {files} files have under {sizes.FEW_LINES} lines, more than a tenth"
    if (top := len(sizes.entries_at_the_top())) > sizes.MOST_AT_THE_TOP:
        yield f"sagas has {top} packages and modules of its own, more than {sizes.MOST_AT_THE_TOP}"


def _words() -> Iterator[tuple[str, words.Name]]:
    return words.offences(*PACKAGES)
