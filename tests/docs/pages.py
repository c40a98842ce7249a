"""Read the pages of the documentation: their code blocks, headings, links and tables."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README, REFERENCE = ROOT / "README.md", ROOT / "docs/REFERENCE.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A code block, with its page and its first line."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """The page and the line, for example `docs/API.md:40`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def blocks_of(page: Path) -> list[Block]:
    """Return the code blocks of the page, without their indentation."""
    text = page.read_text()
    found = []
    for match in FENCED.finditer(text):
        indent, language, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)))
    return found


def all_blocks(*languages: str) -> list[Block]:
    """Return the code blocks in these languages from all pages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def prose_of(page: Path) -> str:
    """Return the text of the page without its code blocks."""
    return FENCED.sub("", page.read_text())


def links_of(page: Path) -> list[str]:
    """Return the targets of the links and images on the page."""
    return LINK.findall(prose_of(page))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub generates for the headings of the page."""
    titles = [title for _, title in HEADING.findall(prose_of(page))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def section_of(page: Path, title: str) -> str:
    """Return the text under this heading, up to the next heading of any level."""
    text = page.read_text()
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"{page.name} has no section {title!r}"
    return match[1]


def rows_of(page: Path, title: str) -> list[list[str]]:
    """Return the cells of each table row in the section, without the header rows."""
    lines = [line for line in section_of(page, title).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")] for line in lines]
    return [row for row in rows if row[0].startswith("`")]


def names_in(page: Path, title: str) -> set[str]:
    """Return the names that the tables of the section document: the texts in backticks in a first column."""
    return {name for row in rows_of(page, title) for name in re.findall(r"`([^`]+)`", row[0])}
