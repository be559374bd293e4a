"""
What every REST face stands on: klein routes, JSON documents, tokens, faults, queries and links.

A service's face is some classes of routes and the facts of the API::

    class WidgetRoutes:
        def __init__(self, widgets: Widgets) -> None:
            self._widgets = widgets

        @route("POST", "/v1/widgets")
        async def create(self, call: Call) -> Answer:
            wanted = await call.read(NewWidgetDocument)
            widget = await self._widgets.create(call.access, wanted.widget.name)
            return Answer(201, {"widget": shown(widget, call.links)})

    handler = RestFace(FaceFacts(prefix="/widget", ...), identity, [WidgetRoutes(widgets)])

Declared like this a route gets a checked token in ``call.access``, a parsed ``call.query``, and a body that fits its
schema; a ``Fault`` or a refusal of the identity service becomes the API's own error.
"""

from ._documents import Document, Id, Name, Text, decode_document, read_bytes, read_document, read_object
from ._face import Call, FaceFacts, RestFace
from ._faults import Fault, FaultBody, bad_request, error_body, not_found, not_implemented
from ._query import Links, Query, page_of, parse_query
from ._routes import Answer, route, route_table
from ._routing import make_ready
from ._times import naive, parse_time, zulu
from ._tokens import access_of, fault_of, token_of, unauthorized

__all__ = [
    "Answer",
    "Call",
    "Document",
    "FaceFacts",
    "Fault",
    "FaultBody",
    "Id",
    "Links",
    "Name",
    "Query",
    "RestFace",
    "Text",
    "access_of",
    "bad_request",
    "decode_document",
    "error_body",
    "fault_of",
    "make_ready",
    "naive",
    "not_found",
    "not_implemented",
    "page_of",
    "parse_query",
    "parse_time",
    "read_bytes",
    "read_document",
    "read_object",
    "route",
    "route_table",
    "token_of",
    "unauthorized",
    "zulu",
]
