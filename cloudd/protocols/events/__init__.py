"""``GET /events``: what happens, as server-sent events (HTML Living Standard, section 9.2)."""

from ._face import events_face

__all__ = ["events_face"]
