"""A descriptor that the reactor watches and somebody else reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Reader:
    """``IReadDescriptor`` for a descriptor that is read elsewhere."""

    def __init__(self, descriptor: int, readable: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._readable = readable

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "descriptor"

    def doRead(self) -> None:
        self._readable()

    def connectionLost(self, reason: Any) -> None:
        """The reactor lets go of it; its owner closes it."""
