"""Telephone and tax numbers are validated and converted to one standard form."""

import pytest

from integrations.invoices import parse_tax_id
from integrations.whatsapp import parse_phone


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("+5511987654321", "+5511987654321"),
        ("(11) 98765-4321", "+5511987654321"),
        ("+1 650-253-0000", "+16502530000"),
    ],
)
def test_a_telephone_number_becomes_e164(given, parsed):
    assert parse_phone(given) == parsed


@pytest.mark.parametrize("given", ["", "0", "ana", "+55 11 1", "5" * 40])
def test_what_is_no_telephone_number_is_an_error(given):
    with pytest.raises(ValueError) as caught:
        parse_phone(given)

    assert str(caught.value) == "Enter a valid telephone number."


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("529.982.247-25", "52998224725"),
        ("04.252.011/0001-10", "04252011000110"),
        ("12.ABC.345/01DE-35", "12ABC34501DE35"),
    ],
)
def test_a_tax_number_loses_its_punctuation_and_keeps_its_letters(given, parsed):
    assert parse_tax_id(given) == parsed


@pytest.mark.parametrize("given", ["", "529.982.247-24", "111.111.111-11", "ABC", "04.252.011/0001-11", "٥" * 11])
def test_what_is_no_tax_number_is_an_error(given):
    with pytest.raises(ValueError) as caught:
        parse_tax_id(given)

    assert str(caught.value) == "Enter a valid CPF or CNPJ."
