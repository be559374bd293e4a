# -*- test-case-name: tests.daemon.test_settings -*-
"""Where message brokers are; without any client library, so that settings can be checked by it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

SCHEMES = ("amqp", "amqps")
NUMBERS = ("heartbeat", "connection_timeout")
NAMES = ("server_name_indication",)


class BadBrokerURL(ValueError):
    """Not the URL of a broker that cloudd can use; the text never holds a password."""


def broker_urls(text: str) -> tuple[str, ...]:
    """
    The URLs of the brokers of one cluster, which the settings have with spaces between them; none: there is no broker.

    :raises BadBrokerURL: one cannot be used
    """
    urls = tuple(text.split())
    for url in urls:
        _check(url)
    return urls


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        raise BadBrokerURL("it cannot be read: is its port a number?") from None
    if parts.scheme not in SCHEMES:
        raise BadBrokerURL("it does not begin with amqp:// or amqps://")
    if parts.password is not None:
        raise BadBrokerURL("it holds a password, which would be shown where settings are shown")
    if not parts.hostname or not port_is_good:
        raise BadBrokerURL("it names no host, or no port that can be one")
    if parts.fragment or "/" in parts.path[1:]:
        raise BadBrokerURL("it ends with more than one virtual host; write / in its name as %2f")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in NUMBERS and not (value.isascii() and value.isdigit() and len(value) < 7):
            raise BadBrokerURL(f"{name} is a whole number")
        if name not in NUMBERS and not (name in NAMES and parts.scheme == "amqps"):
            raise BadBrokerURL(f"it has {name!r:.40}; known are {', '.join((*NUMBERS, *NAMES))}, that of amqps alone")
