# -*- test-case-name: tests.messaging.test_seen -*-
"""Which messages this process has had, so that a redelivery is not done twice while it lives."""

from __future__ import annotations

from typing import Any

from attrs import define, field


@define(eq=False)
class Entry:
    """
    One message.

    :ivar deliveries: of it, that are settled when it is done; empty when they were
    :ivar attempts: that have been made at it here or elsewhere, as far as that is known
    :ivar done: nothing remains to be done about it
    :ivar handed_back: it may come again, and is to be done then
    """

    at: float
    deliveries: list[Any] = field(factory=list)
    attempts: int = 0
    done: bool = False
    handed_back: bool = False

    def once_more(self, delivery: Any) -> None:
        """It has come again: it shares the fate of the first."""
        if self.done:
            delivery.done()
        else:
            self.deliveries.append(delivery)

    def finish(self) -> None:
        """It is done with."""
        self.done = True
        for delivery in self._settle_all():
            delivery.done()

    def hand_back(self, attempts: int) -> None:
        """It goes to somebody else, or comes again."""
        self.handed_back, self.attempts = True, attempts
        self._newest().again()

    def set_aside(self, cause: str) -> None:
        """Nobody does it."""
        self.done = True
        self._newest().set_aside(cause)

    def _newest(self) -> Any:
        """It stands for all: it came again because the connection of those before was lost."""
        *earlier, newest = self._settle_all()
        for delivery in earlier:
            delivery.done()
        return newest

    def _settle_all(self) -> list[Any]:
        deliveries, self.deliveries = self.deliveries, []
        return deliveries


@define(eq=False)
class Seen:
    """
    :param most: ids that are kept; the oldest go first, but never one that is not done
    :param keep_s: seconds for which they are
    """

    _most: int
    _keep_s: float
    _entries: dict[str, Entry] = field(factory=dict)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, message_id: str) -> Entry | None:
        """What is known of a message; None: it is new here."""
        return self._entries.get(message_id)

    def add(self, message_id: str, delivery: Any, now: float) -> Entry:
        """A message has come for the first time, or again after it was handed back."""
        self._forget(now)
        before = self._entries.pop(message_id, None)
        attempts = max(delivery.attempts, before.attempts if before is not None else 0)
        entry = self._entries[message_id] = Entry(now, [delivery], attempts)
        return entry

    def _forget(self, now: float) -> None:
        """From the oldest on; one that still runs counts as new."""
        for _ in range(len(self._entries)):
            message_id, entry = next(iter(self._entries.items()))
            if len(self._entries) < self._most and now - entry.at < self._keep_s:
                return
            del self._entries[message_id]
            if not (entry.done or entry.handed_back):
                entry.at = now
                self._entries[message_id] = entry
