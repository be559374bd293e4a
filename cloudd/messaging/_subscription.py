"""Who listens to events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from reload import NotPlainData

from ._errors import BadMessage, NoSuchVersion
from ._form import Fields, Form
from ._transport import IListening, ITransport
from ._words import read_event

MOST_UNTAKEN = 200


@frozen
class Event:
    """
    :ivar name: of its form
    :ivar sender: node that published it
    :ivar sent_at: seconds since the epoch, by that node's clock
    """

    key: str
    name: str
    fields: Fields
    sender: str
    sent_at: float
    request_id: str


@define(eq=False)
class Subscription:
    """
    Made by ``Bus.subscribe``.

    :ivar missed: events that could not be read, or over which ``take`` failed
    """

    _transport: ITransport
    _pattern: str
    _forms: Mapping[str, Form]
    _give: Callable[[Event], object]
    missed: int = 0
    _listening: IListening = field(init=False)

    log = Logger()

    def __attrs_post_init__(self) -> None:
        self._listening = self._transport.subscribe(self._pattern, self._take, MOST_UNTAKEN)

    @property
    def ready(self) -> Deferred[None]:
        """Fires when events come for the first time."""
        ready: Deferred[None] = self._listening.ready
        return ready

    def end(self) -> Deferred[None]:
        """No event comes when this has fired."""
        closed: Deferred[None] = self._listening.close()
        return closed

    def _take(self, delivery: Any) -> None:
        delivery.done()  # nobody else has this copy
        try:
            told = read_event(delivery.body)
            form = self._forms.get(told.name)
            if form is None:
                return
            fields = form.read(told.version, told.fields)
        except (BadMessage, NoSuchVersion, NotPlainData) as error:
            self.missed += 1
            self.log.error("an event of {pattern} was missed: {error}", pattern=self._pattern, error=error)
            return
        try:
            self._give(Event(told.key, told.name, fields, told.sender, told.sent_at, told.request_id))
        except Exception:
            self.missed += 1
            self.log.failure("who listens to {pattern} failed over an event", pattern=self._pattern)
