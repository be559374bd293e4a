# -*- test-case-name: tests.protocols.http.test_request -*-
"""Request ids: the client's own when it is one, else a new one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

_VALID = re.compile(rb"req-[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_POOL_BYTES = 4_096
_DIGITS = 32


class RequestIds:
    """
    Makes ``req-`` and a random UUID (version 4), from randomness drawn in blocks.

    A process that forks afterwards would share the block: make one of these per worker.

    :param draw: gives that many random bytes
    """

    def __init__(self, draw: Callable[[int], bytes] = os.urandom) -> None:
        self._draw = draw
        self._pool = ""
        self._position = 0

    def new(self) -> str:
        """An id that nobody has had."""
        if self._position >= len(self._pool):
            self._pool = self._draw(_POOL_BYTES).hex()
            self._position = 0
        start = self._position
        self._position = start + _DIGITS
        digits = self._pool[start : start + _DIGITS]
        variant = _VARIANTS[digits[16]]
        return f"req-{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def id_for(self, sent: bytes | None) -> str:
        """The client's id when it has the form of one, else a new one."""
        if sent is not None and _VALID.fullmatch(sent):
            return sent.decode("ascii")
        return self.new()
