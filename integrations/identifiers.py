"""Normalize telephone and tax numbers for the providers."""

import phonenumbers
from django.utils.translation import gettext as _
from stdnum.br import cnpj, cpf
from stdnum.exceptions import ValidationError

CPF_LENGTH = 11


def parse_phone(number: str, region: str = "BR") -> str:
    """Return the number in E.164, such as +5511987654321. Raises ValueError if it is not valid."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        raise ValueError(_("Enter a valid telephone number.")) from error
    if not phonenumbers.is_valid_number(parsed):
        raise ValueError(_("Enter a valid telephone number."))
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def parse_tax_id(document: str) -> str:
    """Return the CPF or CNPJ without punctuation. A CNPJ may have letters. Raises ValueError if it is not valid."""
    kind = cpf if len(cpf.compact(document)) == CPF_LENGTH else cnpj
    try:
        number = str(kind.validate(document))
    except ValidationError as error:
        raise ValueError(_("Enter a valid CPF or CNPJ.")) from error
    # A repeated digit passes the check digits, but such numbers are never issued.
    if len(set(number)) == 1:
        raise ValueError(_("Enter a valid CPF or CNPJ."))
    return number
