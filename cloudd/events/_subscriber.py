"""One subscriber, as the hub knows it."""

from __future__ import annotations

from ._event import View
from ._grants import Grant
from ._position import Position


class Subscriber:
    """
    Somebody who is told of events as they come; a face makes a subclass that writes.

    There may be twenty thousand in a process, so it has no task, timer or queue of its own.

    :param types: what it wants, from ``check_types``
    :param position: where to go on, or None: from now on
    :param trusted: the position was kept by us (a stream that was moved), not told by a client
    :ivar position: what it has seen; of one that is not ``apart`` the hub knows better (``Hub.position_of``)
    :ivar apart: it does not get what comes as it comes: it is behind or ahead, slow, held, or its grant is unsure
    :ivar greeted: its first lines were sent
    :ivar gone: it has left or was ended
    :ivar reading: older events are being read for it
    :ivar judged_by: the number of the look at the logs by which its position must have been reached, or 0
    :ivar beat: which of the hub's rounds of heartbeats it is in
    """

    __slots__ = (
        "apart",
        "beat",
        "gone",
        "grant",
        "greeted",
        "judged_by",
        "position",
        "reading",
        "trusted",
        "types",
        "view",
    )

    def __init__(
        self, grant: Grant, view: View, types: tuple[str, ...], position: Position | None, *, trusted: bool
    ) -> None:
        self.grant = grant
        self.view = view
        self.types = types
        self.position = position
        self.trusted = trusted
        self.apart = True
        self.greeted = trusted
        self.gone = False
        self.reading = False
        self.judged_by = 0
        self.beat = 0

    def begun(self) -> None:
        """Its position is known, and its first line was sent."""

    def send(self, data: bytes) -> None:
        """Send these bytes; never called when ``held`` or when much is ``unsent``."""
        raise NotImplementedError

    def end(self) -> None:
        """End the stream in order; called once, after which it is ``gone``."""
        raise NotImplementedError

    @property
    def unsent(self) -> int:
        """Bytes that its client has not taken yet."""
        raise NotImplementedError

    @property
    def held(self) -> bool:
        """Nothing may be sent now."""
        raise NotImplementedError

    @property
    def process_ends(self) -> bool:
        """The process stops: the stream is to be ended."""
        raise NotImplementedError
