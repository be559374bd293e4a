# -*- test-case-name: tests.control.test_messages -*-
"""How many entries somebody asks for."""

from __future__ import annotations

_MOST_DIGITS = 9  # converting thousands of digits takes long, and Python refuses it


def limit_in(text: str, most: int) -> int:
    """
    A limit as a query has it.

    :param most: the greatest, less than a thousand million
    :return: 1 to ``most``
    :raises ValueError: it is anything else; says what it may be
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 1 <= int(text) <= most):
        raise ValueError(f"limit is a number from 1 to {most}")
    return int(text)
