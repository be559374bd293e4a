"""``GET /events``: what happens, as server-sent events (HTML Living Standard, section 9.2)."""

from ._face import STATES as EVENT_STATES
from ._face import Door, events_face

__all__ = ["EVENT_STATES", "Door", "events_face"]
