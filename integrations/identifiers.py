"""Telephone numbers and tax numbers in the one form that providers take."""

import phonenumbers
from django.utils.translation import gettext as _
from stdnum.br import cnpj, cpf
from stdnum.exceptions import ValidationError

CPF_LENGTH = 11


def parse_phone(number: str, region: str = "BR") -> str:
    """The number in E.164, as in +5511987654321; ValueError if it is none."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        raise ValueError(_("This is not a telephone number.")) from error
    if not phonenumbers.is_valid_number(parsed):
        raise ValueError(_("This is not a telephone number."))
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def parse_tax_id(document: str) -> str:
    """The CPF or CNPJ without punctuation (a CNPJ may hold letters); ValueError if it is neither."""
    kind = cpf if len(cpf.compact(document)) == CPF_LENGTH else cnpj
    try:
        number = str(kind.validate(document))
    except ValidationError as error:
        raise ValueError(_("This is not a valid CPF or CNPJ.")) from error
    # One digit repeated passes the check digits, and is never given out.
    if len(set(number)) == 1:
        raise ValueError(_("This is not a valid CPF or CNPJ."))
    return number
