# -*- test-case-name: tests.web.test_origin -*-
"""
Whether a request comes from the page itself, or from another site that a browser has open.

The cookie alone does not tell: a page on another port of this host, for instance one that a tenant keeps in the object
store, is of the same *site*, and browsers add ``SameSite=Strict`` cookies to what it asks for.  It is not of the same
*origin*, and browsers say so: over TLS and on the loopback in ``Sec-Fetch-Site`` (all since 2023), and of what is
posted always in ``Origin``.  What is read over plain HTTP elsewhere is kept from other sites by the browser itself,
since no answer allows them to see it.

Source: W3C Fetch Metadata Request Headers; RFC 6454.
"""

from __future__ import annotations

from cloudd.protocols.http import Request

OWN, TYPED = b"same-origin", b"none"  # the second: typed into the address line, a bookmark


def may_read(request: Request) -> bool:
    """Whether data may be given; a client that is no browser says nothing of its site and has to know the cookie."""
    return request.header(b"sec-fetch-site") in {None, OWN, TYPED}


def may_change(request: Request, own: str) -> bool:
    """
    Whether the page itself asks for a change.

    :param own: the API port's URL, which a proxy before it may show instead of what ``Host`` says
    """
    site, origin = request.header(b"sec-fetch-site"), request.header(b"origin")
    if site is not None:
        return site == OWN
    return origin is not None and origin in {own.encode(), *_by_host(request)}


def _by_host(request: Request) -> set[bytes]:
    host = request.header(b"host")
    return {b"http://" + host, b"https://" + host} if host else set()
