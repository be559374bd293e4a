# -*- test-case-name: tests.protocols.amqp.test_address -*-
"""Where a broker is and who we are there, from a URI (RabbitMQ URI Specification, and its query parameters)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

PORTS = {"amqp": 5672, "amqps": 5671}


class BadAddress(ValueError):
    """Not the URI of a broker; the text names the part, and never holds a password."""


@frozen
class Address:
    """
    :param vhost: virtual host
    :param heartbeat_s: longest silence that is wanted; 0: any
    :param ca_file: whose certificates a broker must have; None with TLS: those that the system trusts
    :param certificate_file: and ``key_file``: what we show of ourselves, if anything
    :param server_name: that the broker's certificate must have
    """

    host: str = "127.0.0.1"
    port: int = PORTS["amqp"]
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    heartbeat_s: int = 10
    connect_timeout_s: float = 10.0
    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""

    @classmethod
    def from_uri(cls, uri: str) -> Address:
        """
        ``amqp[s]://user:password@host:port/vhost?heartbeat=10&cacertfile=…``; all parts are percent-decoded.

        :raises BadAddress: it is none, or has a part or parameter that is not known
        """
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise BadAddress("the URI of the broker cannot be read: is its port a number?") from None
        if parts.scheme not in PORTS:
            raise BadAddress(f"the URI of a broker begins with amqp:// or amqps://, not with {parts.scheme!r}")
        if parts.fragment or "/" in parts.path[1:]:
            raise BadAddress("the URI of a broker ends with one virtual host; write / in its name as %2f")
        tls = parts.scheme == "amqps"
        return cls(
            host=unquote(parts.hostname or cls().host),
            port=PORTS[parts.scheme] if port is None else port,
            user=unquote(parts.username) if parts.username is not None else "guest",
            password=unquote(parts.password) if parts.password is not None else "guest",
            vhost=unquote(parts.path[1:]) if parts.path else "/",
            tls=tls,
            **_parameters(parts.query, tls),
        )

    def __str__(self) -> str:
        """For logs and people: without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'amqps' if self.tls else 'amqp'}://{self.user}@{host}:{self.port} (virtual host {self.vhost})"


def _parameters(query: str, tls: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        try:
            if name == "heartbeat":
                found["heartbeat_s"] = _whole(value)
            elif name == "connection_timeout":
                found["connect_timeout_s"] = _whole(value) / 1000
            elif name in _FILES and tls:
                found[_FILES[name]] = Path(value)
            elif name == "server_name_indication" and tls:
                found["server_name"] = value
            else:
                raise BadAddress(f"the URI of the broker has the parameter {name!r}, which is not known here")
        except ValueError as error:
            if isinstance(error, BadAddress):
                raise
            raise BadAddress(f"the URI of the broker has {name}={value}: it wants a whole number") from None
    return found


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError
    return int(value)


_FILES = {"cacertfile": "ca_file", "certfile": "certificate_file", "keyfile": "key_file"}
