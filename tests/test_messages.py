"""Every message has a translation, and the compiled catalogs agree with their sources."""

import io
import re

import pytest
from babel.messages.mofile import write_mo
from django.utils.translation import gettext, ngettext, override, pgettext

from sagas.definition import wording_templates
from tests.messages import SOURCES, folder, marked, messages_in, stored

each_catalog = pytest.mark.parametrize("name", SOURCES)
PERCENT = re.compile(r"%(?:\(\w+\))?[sd%]")


def messages(catalog):
    """Return the catalog's messages by context and id."""
    return {(message.context, message.id): message for message in catalog if message.id}


def forms(text):
    """Return the forms of a message or translation: one, or singular and plural."""
    return text if isinstance(text, tuple) else (text,)


def placeholders(text):
    """Return the sorted placeholders of the text."""
    braces = [(part.key, part.format) for part in wording_templates.parse(text) if part.key] if "{" in text else []
    return sorted(PERCENT.findall(text)), sorted(braces)


@each_catalog
def test_what_the_code_marks_is_in_the_catalog_and_nothing_else(name):
    catalog = stored(name)

    assert sorted(messages(catalog), key=str) == sorted(messages(marked(name)), key=str), "run `make messages`"
    assert not catalog.obsolete


@each_catalog
def test_each_message_is_translated_for_certain(name):
    found = messages(stored(name)).values()

    assert [message.id for message in found if message.fuzzy or not all(forms(message.string))] == []


@each_catalog
def test_a_translation_fills_in_what_its_message_does(name):
    differing = [
        message.id
        for message in messages(stored(name)).values()
        if {str(placeholders(form)) for form in forms(message.string)}
        != {str(placeholders(form)) for form in forms(message.id)}
    ]

    assert differing == []


@each_catalog
def test_what_is_compiled_is_what_is_written(name):
    compiled = io.BytesIO()
    write_mo(compiled, stored(name))

    assert (folder(name) / "django.mo").read_bytes() == compiled.getvalue(), "run `make messages`"


@each_catalog
def test_django_shows_what_the_catalog_says(name):
    for message in messages(stored(name)).values():
        with override("pt-br"):
            assert shown(message) == list(forms(message.string))


def shown(message):
    """Return Django's translation of the message into the active language."""
    if message.pluralizable:
        return [ngettext(*message.id, number) for number in (1, 2)]
    return [pgettext(message.context, message.id) if message.context else gettext(message.id)]


TEMPLATE = """
{% load i18n %}
{# Translators: what is offered #}
<h1>{% translate "City tours" %}, isn't it?</h1>
    <p title="{% translate 'Tour' context 'a title' %}">(never closed
  {% blocktranslate trimmed count nights=nights %}
    {{ nights }} night
  {% plural %}
    {{ nights }} nights
  {% endblocktranslate %}
"""


def test_templates_are_read_too(tmp_path):
    (tmp_path / "page.html").write_text(TEMPLATE)

    assert list(messages_in(tmp_path / "page.html")) == [
        ("City tours", None, ["Translators: what is offered"]),
        ("Tour", "a title", []),
        (("%(nights)s night", "%(nights)s nights"), None, []),
    ]
