# -*- test-case-name: tests.compute.test_patterns -*-
"""
Patterns that clients give for names and addresses: a subset of regular expressions whose search cannot take for ever.

Characters, ``.``, sets, ``^``, ``$`` and ``|``; behind one of them ``*``, ``+`` or ``?``, at most ``MAX_REPEATS``.
There are no groups, so nothing is repeated that repeats.  Python and PostgreSQL read it alike.
"""

from __future__ import annotations

import re
from typing import Final

from ._errors import BadComputeValue

MAX_LENGTH: Final = 255
MAX_REPEATS: Final = 3

_ONE = r"(?:\\[^a-zA-Z0-9]|\\[dwsDWS]|\[\^?(?:\\[^a-zA-Z0-9]|[^\]\[\\])+\]|[^\\\[\](){}|*+?^$])"
_WHOLE = re.compile(rf"(?:{_ONE}[*+?]?|[|^$])*")
_REPEAT = re.compile(r"(?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\\[])([*+?])", re.DOTALL)


def checked_pattern(name: str, pattern: str) -> str:
    """
    The same.

    :param name: of the parameter, for the refusal
    :raises BadComputeValue: it is none of ours
    """
    if len(pattern) > MAX_LENGTH:
        raise BadComputeValue(f"Query parameter {name}: longer than {MAX_LENGTH} characters.")
    if not _WHOLE.fullmatch(pattern) or len(_REPEAT.findall(pattern)) > MAX_REPEATS or not _compiles(pattern):
        raise BadComputeValue(
            f"Query parameter {name}: a pattern of characters, '.', sets, '^', '$' and '|' is meant, with '*', '+' and "
            f"'?' behind a single one of them, at most {MAX_REPEATS} times; a backslash makes a sign a character."
        )
    return pattern


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
