"""Numbers that check themselves, against numbers that issuers publish as examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.checksums import iban, luhn, resident_identity, social_security


@pytest.mark.parametrize("number", ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "0"])
def test_card_numbers_of_the_networks_hold(number: str) -> None:
    assert luhn(number)


@given(st.text("0123456789", min_size=2, max_size=19).filter(luhn), st.data())
def test_one_wrong_digit_breaks_a_card_number(number: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([one for one in "0123456789" if one != number[at]]))
    assert not luhn(number[:at] + other + number[at + 1 :])


def test_the_identity_number_of_the_standard_holds_and_its_neighbours_do_not() -> None:
    assert resident_identity("11010519491231002X") and resident_identity("11010519491231002x")  # GB 11643-1999, annex
    assert resident_identity("440524188001010014")
    assert not resident_identity("110105194912310021")
    assert not resident_identity("990105194912310021"), "there is no province 99"
    assert not resident_identity("11010519491331002X"), "there is no thirteenth month"


@given(st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_breaks_an_identity_number(at: int, more: int) -> None:
    good = "11010519491231002X"
    wrong = good[:at] + str((int(good[at]) + more) % 10) + good[at + 1 :]
    assert not resident_identity(wrong)


def test_account_numbers_of_the_registry_hold() -> None:
    assert iban("GB82 WEST 1234 5698 7654 32") and iban("DE89370400440532013000")
    assert not iban("GB82 WEST 1234 5698 7654 33") and not iban("")


def test_numbers_that_were_never_given_out() -> None:
    assert social_security("078-05-1120")
    assert not any(map(social_security, ("000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000")))
