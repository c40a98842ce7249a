"""Keeps the catalogs of translations: what the code marks goes into each django.po, what that says into its django.mo.

    python -m tests.messages

It needs Babel and no gettext tools. A message that the code does not mark any more is dropped; a new one is entered
without a translation, and tests/test_messages.py names it until it has one.
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
# The folder of each catalog, and where its messages are marked.
SOURCES = {"sagas": ["sagas"], "integrations": ["integrations"], "sagaproject": ["sagaproject", "templates"]}
TEMPLATES = (".html", ".txt")
CONTRIBUTORS = "the sagas contributors"
# Which arguments are the message, and with "c" its context.
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
    """Bring every catalog up to date."""
    for name in SOURCES:
        catalog = stored(name)
        catalog.update(marked(name), no_fuzzy_matching=True, update_creation_date=False)
        write(name, catalog)


def marked(name: str) -> Catalog:
    """The messages that the code of this catalog marks."""
    catalog = Catalog()
    for path in _files(name):
        for message, context, comments in messages_in(path):
            catalog.add(message, context=context, auto_comments=comments)
    return catalog


def stored(name: str) -> Catalog:
    """The catalog as its django.po has it; an empty one where there is none."""
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
    """Write both files, in the order of the messages, so that moved code changes nothing."""
    folder(name).mkdir(parents=True, exist_ok=True)
    with (folder(name) / "django.po").open("wb") as file:
        write_po(file, catalog, width=116, no_location=True, sort_output=True, ignore_obsolete=True)
    with (folder(name) / "django.mo").open("wb") as file:
        write_mo(file, catalog)


def folder(name: str) -> Path:
    """Where Django looks for the catalog."""
    return ROOT / name / "locale" / LOCALE / "LC_MESSAGES"


def messages_in(path: Path) -> Iterator[tuple[str | tuple[str, ...], str | None, list[str]]]:
    """Each message that a module or a template marks, with its context and the comments for translators."""
    source = path.read_text()
    if path.suffix in TEMPLATES:
        # Without indentation, for what templatize makes of it is no Python that is indented as Python must be.
        source = "\n".join(line.strip() for line in templatize(source, origin=str(path)).splitlines())
    for _, message, comments, context in extract("python", io.BytesIO(source.encode()), KEYWORDS, ["Translators:"]):
        yield message, context, comments


def _files(name: str) -> Iterator[Path]:
    folders = [ROOT / source for source in SOURCES[name]]
    paths = sorted(path for folder in folders for path in folder.rglob("*"))
    return (path for path in paths if path.suffix == ".py" or ("templates" in path.parts and path.suffix in TEMPLATES))


if __name__ == "__main__":
    main()
