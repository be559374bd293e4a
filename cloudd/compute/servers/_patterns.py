# -*- test-case-name: tests.compute.test_patterns -*-
"""
Patterns that clients give for names and addresses: a subset of regular expressions whose search cannot take long.

Characters, ``.``, sets, ``^``, ``$`` and ``|``; behind one of them ``*``, ``+`` or ``?``.  Python's search tries each
way that repeated ones can share a text, from each place in it, so they are few: one, or two where the pattern begins
with ``^`` and has no ``|``.  ``.*`` at either end says nothing, and does not count; nor do
brackets where nothing is chosen or repeated, as names have them.  Python and PostgreSQL read it alike.
"""

from __future__ import annotations

import re
from typing import Final

from .._errors import BadComputeValue

MAX_LENGTH: Final = 255

_ONE = r"(?:\\[^a-zA-Z0-9]|\\[dwsDWS]|\[\^?(?:\\[^a-zA-Z0-9]|[^\]\[\\])+\]|[^\\\[\](){}|*+?^$])"
_WHOLE = re.compile(rf"(?:{_ONE}[*+?]?|[|^$])*")
_WITH_BRACKETS = re.compile(rf"(?:{_ONE}[*+?]?|\)[*+?]?|[|^$(])*")
_SET_OF_LATER_PYTHONS = re.compile(r"\[[^\]]*(?:--|&&|~~|\|\|)")
_ITEM = re.compile(rf"(?:{_ONE}|[|^$])([*+?]?)")
_BRACKETS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\((?!\?)|\)(?![*+?{])", re.DOTALL)
_FIRST_ANY = re.compile(r"\A\^?\.\*")
_LAST_ANY = re.compile(r"(?<!\\)\.\*\$?\Z")


def checked_pattern(name: str, pattern: str) -> str:
    """
    One that finds the same.

    :param name: of the parameter, for the refusal
    :raises BadComputeValue: it is none of ours
    """
    if len(pattern) > MAX_LENGTH:
        raise BadComputeValue(f"Query parameter {name}: longer than {MAX_LENGTH} characters.")
    is_fit = _WITH_BRACKETS.fullmatch(pattern) and not _SET_OF_LATER_PYTHONS.search(pattern) and _compiles(pattern)
    plain = _BRACKETS.sub(_unbracketed, pattern) if is_fit and "|" not in pattern else pattern
    if not is_fit or not _WHOLE.fullmatch(plain):
        raise BadComputeValue(
            f"Query parameter {name}: a pattern of characters, '.', sets, '^', '$' and '|' is meant, with '*', '+' or "
            "'?' behind a single one of them; a backslash makes a sign a character."
        )
    if "|" not in plain:
        plain = _LAST_ANY.sub("", _FIRST_ANY.sub("", plain))
    most = 2 if plain.startswith("^") and "|" not in plain else 1
    if sum(1 for repeat in _ITEM.findall(plain) if repeat) > most:
        raise BadComputeValue(
            f"Query parameter {name}: '*', '+' or '?' is meant once, or twice where the pattern begins with '^'."
        )
    return plain


def _unbracketed(found: re.Match[str]) -> str:
    return "" if found[0] in "()" else found[0]


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
