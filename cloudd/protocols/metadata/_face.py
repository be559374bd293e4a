# -*- test-case-name: tests.protocols.metadata.test_face -*-
"""
Requests of guests.

Statuses are what cloud-init reads: 404 is final, 429 and 503 are asked again.  Only GET and HEAD are served: what a
guest would set (``password``) is not kept.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import unquote

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from cloudd.metadata import Document, Metadata, NoSuchDocument, NoSuchGuest, NotReady, TooManyRequests, listing_of
from cloudd.protocols.http import Handler, Header, Request

_log = Logger()

MAX_PATH: Final = 1_024
_TEXT: Final[Header] = (b"Content-Type", b"text/plain; charset=utf-8")
#: Nothing between guest and host may keep what is meant for one of them.
_FRESH: Final[Header] = (b"Cache-Control", b"no-store")
_ALLOW: Final[Header] = (b"Allow", b"GET, HEAD")
_SOON: Final[Header] = (b"Retry-After", b"1")


def metadata_face(metadata: Metadata) -> Handler:
    """:return: the handler of all paths"""
    return _Face(metadata)


@frozen
class _Face:
    metadata: Metadata

    def __call__(self, request: Request) -> Coroutine[Any, Any, None] | None:
        request.route = "/openstack" if request.path.startswith(b"/openstack") else "/ec2"
        if request.method not in (b"GET", b"HEAD"):
            request.respond(405, [_TEXT, _ALLOW, _FRESH], b"Only GET and HEAD are allowed here.\n")
            return None
        if len(request.path) > MAX_PATH:
            request.respond(404, [_TEXT, _FRESH], b"Nothing is here: no path of metadata is that long.\n")
            return None
        if not request.path.strip(b"/") and (versions := listing_of("/")):
            _give(request, versions)
            return None
        return self.answer(request)

    async def answer(self, request: Request) -> None:
        """Tell a guest what it asks for."""
        try:
            path = unquote(request.path.decode("ascii"), errors="strict")
            _give(request, await self.metadata.find(_host_of(request.peer), path))
        except NoSuchGuest:
            request.respond(404, [_TEXT, _FRESH], b"No server of this host has the address that you ask from.\n")
        except (NoSuchDocument, UnicodeDecodeError):
            request.respond(404, [_TEXT, _FRESH], b"Nothing is here: see /openstack/latest and /latest/meta-data.\n")
        except NotReady:
            request.respond(503, [_TEXT, _FRESH, _SOON], b"The server is not written yet: ask again.\n")
        except TooManyRequests as error:
            again: Header = (b"Retry-After", b"%d" % error.wait_s)
            request.respond(429, [_TEXT, _FRESH, again], f"{error}.\n".encode())
        except CancelledError:
            raise
        except Exception:
            _log.failure("metadata could not be told to {peer}", peer=request.peer, request_id=request.id)
            if not request.started:
                request.respond(503, [_TEXT, _FRESH, _SOON], b"Metadata cannot be read just now: ask again.\n")


def _give(request: Request, document: Document) -> None:
    request.respond(200, [(b"Content-Type", document.content_type.encode()), _FRESH], document.body)


def _host_of(peer: str) -> str:
    """The address in ``10.0.0.5:1234`` or ``[fd00::5]:1234``; IPv4 in IPv6 as IPv4."""
    host = peer.rpartition(":")[0].strip("[]")
    return host.removeprefix("::ffff:") if "." in host else host
