"""Parse HTML pages and return the text that a reader sees."""

from __future__ import annotations

from typing import Any

from lxml import html
from lxml.html import HtmlElement

INVISIBLE = ("script", "style", "template")


def page_of(response: Any) -> HtmlElement:
    """Parse a response, or a string of HTML."""
    source = response if isinstance(response, str) else response.content.decode()
    return html.document_fromstring(source)


def text_of(element: Any) -> str:
    """Return the visible text of an element, a response or a string of HTML.

    Each run of white space becomes one space.
    """
    root = element if isinstance(element, HtmlElement) else page_of(element)
    return " ".join(" ".join(_visible(root)).split())


def texts(element: Any, selector: str) -> list[str]:
    """Return the visible text of each element that the XPath expression selects."""
    root = element if isinstance(element, HtmlElement) else page_of(element)
    return [text_of(found) for found in root.xpath(selector)]


def _visible(element: HtmlElement) -> list[str]:
    if not isinstance(element.tag, str) or element.tag in INVISIBLE:
        return []
    parts = [element.text or ""]
    for child in element:
        parts += [*_visible(child), child.tail or ""]
    return parts
