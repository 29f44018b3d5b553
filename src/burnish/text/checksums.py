"""Numbers that check themselves: whether the digits of a card, an identity number or an account fit together."""

from __future__ import annotations

from datetime import date

# Weights of the first 17 digits and the sign of each remainder: GB 11643-1999, which is ISO 7064 MOD 11-2.
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_SIGNS = "10X98765432"
# The first two digits: provinces, by GB/T 2260.
_PROVINCES = "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83"


def luhn(digits: str) -> bool:
    """Whether a number of payment cards holds by Luhn's sum (ISO/IEC 7812): every second digit from the right doubled."""
    if not digits.isascii() or not digits.isdigit():
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def resident_identity(number: str) -> bool:
    """Whether a Chinese resident identity number holds: province, day of birth and, of 18 signs, the last one (GB 11643).

    Numbers of 15 digits, given out until 1999, have no check sign: province and day alone are looked at.
    """
    if not number.isascii() or number[:2] not in _PROVINCES.split():
        return False
    if len(number) == 15:
        return number.isdigit() and _is_day("19" + number[6:12])
    if len(number) != 18 or not number[:17].isdigit() or not _is_day(number[6:14]):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _RESIDENT_WEIGHTS, strict=True))
    return number[17].upper() == _RESIDENT_SIGNS[total % 11]


def iban(number: str) -> bool:
    """Whether an international bank account number holds (ISO 13616: the rearranged number is 1 modulo 97)."""
    said = number.replace(" ", "").upper()
    if not (15 <= len(said) <= 34 and said.isascii() and said.isalnum() and said[:2].isalpha() and said[2:4].isdigit()):
        return False
    return int("".join(str(int(sign, 36)) for sign in said[4:] + said[:4])) % 97 == 1


def social_security(number: str) -> bool:
    """Whether nine digits can be a number of the US Social Security Administration: no 000, 666, 9xx, no empty part."""
    digits = number.replace("-", "").replace(" ", "")
    if len(digits) != 9 or not digits.isdigit():
        return False
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _is_day(digits: str) -> bool:
    try:
        return 1850 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year <= 2100
    except ValueError:
        return False
