"""
An HTTP/1.1 server whose connections can be suspended at any byte.  Kernel: never swapped while a process runs.

::

    class Hello:
        def handle(self, request: Request) -> None:
            request.respond(200, [(b"Content-Type", b"text/plain")], b"hello\\n")

        def finished(self, request: Request) -> None:
            print(request.id, request.status, request.sent_bytes)

        def moved(self, request: Request) -> None:
            print(request.id, "goes on elsewhere")

    factory = HTTPServerFactory(Hello(), HTTPSettings(), "api", reactor)
    listen(reactor, descriptor, factory)      # an inherited listening socket

A handler is a function of one ``Request``, or a coroutine function; ``KleinApp(app)`` makes one of a klein app.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._body import Body, BodySink
from ._errors import (
    AnswerMisused,
    BodyAlreadyRead,
    BodyMalformed,
    BodyTimedOut,
    BodyTooLarge,
    BodyTruncated,
    ClientGone,
    FileTooShort,
    NotExportable,
)
from ._factory import HTTPServerFactory, Site
from ._handed import listen_handed
from ._head import Header
from ._klein import KleinApp
from ._klein_routes import match_only
from ._listen import PatientPort, listen
from ._probe import Probed, probe
from ._reactor import install_lean
from ._request import Handler, Request, changes_state
from ._snapshot import add_converters

if TYPE_CHECKING:
    from ._moving import HTTP_KINDS, AdoptedHTTP, HTTPAdopter, MovableHTTP, http_kinds
from ._transport import HTTPTransport

__all__ = [
    "HTTP_KINDS",
    "AdoptedHTTP",
    "AnswerMisused",
    "Body",
    "BodyAlreadyRead",
    "BodyMalformed",
    "BodySink",
    "BodyTimedOut",
    "BodyTooLarge",
    "BodyTruncated",
    "ClientGone",
    "FileTooShort",
    "HTTPAdopter",
    "HTTPServerFactory",
    "HTTPTransport",
    "Handler",
    "Header",
    "KleinApp",
    "MovableHTTP",
    "NotExportable",
    "PatientPort",
    "Probed",
    "Request",
    "Site",
    "add_converters",
    "changes_state",
    "http_kinds",
    "install_lean",
    "listen",
    "listen_handed",
    "match_only",
    "probe",
]


def __getattr__(name: str) -> Any:
    """What a hand-over needs: most processes need none of it, and it imports much."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("._moving", __name__), name)
