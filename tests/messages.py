"""Update the translation catalogs: write the messages of the code to each django.po, and compile each django.mo.

python -m tests.messages

The command needs Babel and no gettext tools. It removes messages that the code no longer marks. It adds new messages
without a translation, and tests/test_messages.py fails until they have one.
"""

import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[1]
LOCALE = "pt_BR"
# The parent folder of each catalog, and the folders with its messages.
SOURCES = {"sagas": ["sagas"], "integrations": ["integrations"], "sagaproject": ["sagaproject", "templates"]}
TEMPLATES = (".html", ".txt")
CONTRIBUTORS = "the sagas contributors"
# The position of the message in each function's arguments; "c" marks the position of its context.
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}


def main() -> None:
    """Update every catalog."""
    for name in SOURCES:
        catalog = stored(name)
        catalog.update(marked(name), no_fuzzy_matching=True, update_creation_date=False)
        write(name, catalog)


def marked(name: str) -> Catalog:
    """Return a catalog of the messages that the code marks."""
    catalog = Catalog()
    for path in _files(name):
        for message, context, comments in messages_in(path):
            catalog.add(message, context=context, auto_comments=comments)
    return catalog


def stored(name: str) -> Catalog:
    """Return the catalog from django.po, or an empty catalog if there is no file."""
    path = folder(name) / "django.po"
    if path.exists():
        return read_po(io.BytesIO(path.read_bytes()), locale=LOCALE)
    return Catalog(
        locale=LOCALE,
        project=name,
        header_comment=f"# The words of {name} in {LOCALE}; `make messages` keeps them in step with the code.",
        version="1",
        msgid_bugs_address=CONTRIBUTORS,
        last_translator=CONTRIBUTORS,
        language_team=CONTRIBUTORS,
        revision_date=dt.datetime.now(dt.UTC),
        fuzzy=False,
    )


def write(name: str, catalog: Catalog) -> None:
    """Write both files, sorted by message, so that moved code does not change them."""
    folder(name).mkdir(parents=True, exist_ok=True)
    with (folder(name) / "django.po").open("wb") as file:
        write_po(file, catalog, width=116, no_location=True, sort_output=True, ignore_obsolete=True)
    with (folder(name) / "django.mo").open("wb") as file:
        write_mo(file, catalog)


def folder(name: str) -> Path:
    """Return the folder in which Django looks for the catalog."""
    return ROOT / name / "locale" / LOCALE / "LC_MESSAGES"


def messages_in(path: Path) -> Iterator[tuple[str | tuple[str, ...], str | None, list[str]]]:
    """Yield each message of a module or template, with its context and the comments for translators."""
    source = path.read_text()
    if path.suffix in TEMPLATES:
        # Remove the indentation, because the output of `templatize` is not correctly indented Python.
        source = "\n".join(line.strip() for line in templatize(source, origin=str(path)).splitlines())
    for _, message, comments, context in extract("python", io.BytesIO(source.encode()), KEYWORDS, ["Translators:"]):
        yield message, context, comments


def _files(name: str) -> Iterator[Path]:
    folders = [ROOT / source for source in SOURCES[name]]
    paths = sorted(path for folder in folders for path in folder.rglob("*"))
    return (path for path in paths if path.suffix == ".py" or ("templates" in path.parts and path.suffix in TEMPLATES))


if __name__ == "__main__":
    main()
