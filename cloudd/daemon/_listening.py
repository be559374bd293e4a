# -*- test-case-name: tests.daemon.test_listening -*-
"""
Listening sockets from endpoint strings, and the URLs that clients reach them by.

The anchor binds and workers accept, so the sockets are made here and not by Twisted's endpoints: their ports
shut a shared listener down when they close it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

from attrs import frozen
from twisted.logger import Logger

from cloudd.interfaces.settings import Settings
from cloudd.tls_front import CertificateFiles

_log = Logger()

FACES = ("api", "object", "s3", "metadata")
BACKLOG = 4096
#: Guests reach the metadata service at an address that the host's network gets when the daemon runs.
LATER_ADDRESS = frozenset({"metadata"})
_IP_FREEBIND = 15  # ip(7); not among the constants of socket
#: ``listen.metadata``: where the host's network leads guests to.
AUTO = "auto"


class ListenError(Exception):
    """
    A face cannot listen; nothing listens.

    :param face: one of ``FACES``
    :param endpoint: the endpoint string
    :param cause: what is wrong and what to do
    :param taken: somebody listens there already
    """

    def __init__(self, face: str, endpoint: str, cause: str, *, taken: bool = False) -> None:
        super().__init__(f"listen.{face} = {endpoint!r}: {cause}")
        self.taken = taken
        self.face = face
        self.endpoint = endpoint
        self.cause = cause


@frozen
class Endpoint:
    """A checked endpoint string: ``kind`` is ``tcp``, ``tcp6`` or ``unix``; with ``tls`` it ends in the TLS front."""

    kind: str
    port: int = 0
    interface: str = ""
    path: str = ""
    mode: int = 0o666
    backlog: int = BACKLOG
    tls: CertificateFiles | None = None


def parse_endpoint(face: str, text: str) -> Endpoint:
    """
    Read ``tcp:PORT[:interface=ADDRESS][:backlog=N]``, the same with ``tcp6``, or ``unix:PATH[:mode=OCTAL]``.

    With TLS: ``ssl:PORT[:interface=ADDRESS][:backlog=N]`` and ``:privateKey=PATH:certKey=PATH[:extraCertChain=PATH]``,
    ``:sni=FOLDER`` or both.

    :raises ListenError: it is none of these
    """
    kind, *rest = _split(text)
    options = dict(part.split("=", 1) for part in rest if "=" in part)
    plain = [part for part in rest if "=" not in part]
    tls = None
    try:
        if kind == "ssl":
            tls = _certificate_files(face, text, options)
            kind = "tcp"
        if kind in {"tcp", "tcp6"}:
            port = int(options.pop("port", "") or plain.pop(0))
            interface = options.pop("interface", "")
            if not 0 <= port <= 65535:
                raise ListenError(face, text, "the port must be from 0 to 65535")
            kind = "tcp6" if ":" in interface else kind
            result = Endpoint(kind, port, interface, backlog=int(options.pop("backlog", BACKLOG)), tls=tls)
        elif kind == "unix":
            path = options.pop("address", "") or plain.pop(0)
            mode = int(options.pop("mode", "666"), 8)
            options.pop("lockfile", "")
            result = Endpoint(kind, path=path, mode=mode, backlog=int(options.pop("backlog", BACKLOG)))
        else:
            raise ListenError(
                face, text, "write tcp:PORT:interface=ADDRESS, ssl:PORT:privateKey=PATH:certKey=PATH, or unix:PATH"
            )
    except (ValueError, IndexError):
        raise ListenError(face, text, "a number or the port is missing or wrong") from None
    if options or plain:
        unknown = ", ".join([*options, *plain])
        raise ListenError(
            face,
            text,
            f"unknown part: {unknown}; known are port, interface, backlog, mode, "
            "with ssl privateKey, certKey, extraCertChain, sni",
        )
    return result


def _certificate_files(face: str, text: str, options: dict[str, str]) -> CertificateFiles:
    key, certificate = options.pop("privateKey", ""), options.pop("certKey", "")
    files = CertificateFiles(
        key or certificate, certificate or key, options.pop("extraCertChain", ""), options.pop("sni", "")
    )
    if not files.private_key and not files.names:
        raise ListenError(face, text, "ssl needs privateKey=PATH and certKey=PATH, or sni=FOLDER with NAME.pem files")
    if files.chain and not files.private_key:
        raise ListenError(face, text, "extraCertChain goes with certKey; a NAME.pem file holds its own chain")
    for path in files:
        if path and not Path(path).is_absolute():
            raise ListenError(face, text, f"{path} must be an absolute path: a daemon has no folder of its own")
    return files


def endpoints_of(settings: Settings, *, is_root: bool) -> dict[str, str]:
    """
    Face -> endpoint string, empty: off.

    :param is_root: only then may a host have guests with a network
    """
    found: dict[str, str] = {face: getattr(settings.listen, face) for face in FACES}
    if is_auto(settings):
        port, address = settings.network.metadata_port, settings.network.metadata_address
        found["metadata"] = f"tcp:{port}:interface={address}" if is_root and port else ""
    return found


def is_auto(settings: Settings) -> bool:
    """Whether nobody has asked for a metadata service at a certain place."""
    return settings.listen.metadata == AUTO


def bind_all(
    endpoints: Mapping[str, str], held: Iterable[socket.socket] = (), yielding: Collection[str] = ()
) -> dict[str, socket.socket]:
    """
    Bind and listen for every face that is not turned off; all or none.

    :param endpoints: face -> endpoint string, empty: off
    :param held: sockets that listen already, of which copies are used for the faces that want their address
    :param yielding: faces that stay off where another daemon of the machine has their place
    :raises ListenError: one of them cannot listen
    """
    bound: dict[str, socket.socket] = {}
    try:
        for face, text in endpoints.items():
            if text:
                with _yielding() if face in yielding else nullcontext():
                    bound[face] = _held(face, text, held) or _bind(face, text)
    except ListenError:
        close_all(bound)
        raise
    return bound


@contextlib.contextmanager
def _yielding() -> Iterator[None]:
    try:
        yield
    except ListenError as error:
        if not error.taken:
            raise
        _log.warn("guests of this host get no metadata by HTTP: {cause}", cause=str(error))


def close_all(bound: Mapping[str, socket.socket]) -> None:
    """Close the listening sockets of this process and remove the names of unix sockets."""
    for listener in bound.values():
        name = listener.getsockname() if listener.family == socket.AF_UNIX else ""
        listener.close()
        if name:
            Path(name).unlink(missing_ok=True)


def url_of(listener: socket.socket, named: str, *, secure: bool = False) -> str:
    """
    The base URL of a face, without a slash at its end.

    :param secure: its clients speak TLS
    :param named: what the settings say; empty: made from where the socket listens.  A wildcard address becomes the
        address this host sends from.
    """
    if named:
        return named.rstrip("/")
    if listener.family == socket.AF_UNIX:
        return "http://localhost"
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = _own_address(listener.family)
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _split(text: str) -> list[str]:
    """Split at colons that no backslash escapes, as Twisted's endpoint strings do."""
    parts, escaped = [""], False
    for character in text:
        if escaped or character not in ":\\":
            parts[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            parts.append("")
    return parts


def _held(face: str, text: str, held: Iterable[socket.socket]) -> socket.socket | None:
    endpoint = parse_endpoint(face, text)
    if endpoint.port == 0:
        return None  # any free port, or a unix socket
    for listener in held:
        wanted = endpoint.interface or ("::" if endpoint.kind == "tcp6" else "0.0.0.0")  # noqa: S104 - compared
        family = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6}[endpoint.kind]
        if listener.family == family and listener.getsockname()[:2] == (wanted, endpoint.port):
            return listener.dup()
    return None


def _bind(face: str, text: str) -> socket.socket:
    endpoint = parse_endpoint(face, text)
    family = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6, "unix": socket.AF_UNIX}[endpoint.kind]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if endpoint.kind == "unix":
            _bind_unix(listener, endpoint)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(endpoint.interface)))
            if face in LATER_ADDRESS:
                listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            listener.bind((endpoint.interface, endpoint.port))
        listener.listen(endpoint.backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(face, text, _reason(error), taken=error.errno == errno.EADDRINUSE) from error
    return listener


def _bind_unix(listener: socket.socket, endpoint: Endpoint) -> None:
    path = Path(endpoint.path)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
        path.unlink()  # left by a daemon that was killed
    previous = os.umask(0o777 & ~endpoint.mode)
    try:
        listener.bind(endpoint.path)
    finally:
        os.umask(previous)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _reason(error: OSError) -> str:
    hints = {
        errno.EADDRINUSE: "something listens there already: stop it or choose another port",
        errno.EADDRNOTAVAIL: "this host has no such address: see `ip address`",
        errno.EACCES: "not allowed: ports below 1024 and some folders need root or CAP_NET_BIND_SERVICE",
    }
    reason = error.strerror or str(error)
    return hints.get(error.errno or 0, reason)


def _own_address(family: int) -> str:
    target = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))  # a datagram socket sends nothing here
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])
