# -*- test-case-name: tests.hypervisor.test_place -*-
"""
Where a libvirtd of this host is: its socket, its logs, and whether it answers at all.

libvirt waits without end for a libvirtd that takes a connection and says nothing, since its own time-outs begin when
a connection stands.  So it is asked something small first, by a socket of one's own.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

# One call of libvirt's own protocol, "which ways to log in are there", whose answer is not read: any will do.
# Source: libvirt, src/rpc/virnetprotocol.x, src/remote/remote_protocol.x.
_REMOTE_PROGRAM: Final = 0x20008086
_AUTH_LIST: Final = 66
_QUESTION: Final = struct.pack(">IIIiiIi", 28, _REMOTE_PROGRAM, 1, _AUTH_LIST, 0, 0, 0)


def socket_of(uri: str) -> Path | None:
    """The socket that a URI names; ``None``: it names none."""
    named = parse_qs(urlsplit(uri).query).get("socket")
    return Path(named[0]) if named else None


def logs_of(uri: str) -> Path | None:
    """Where a libvirt that ``script/libvirt`` has started keeps QEMU's logs; another one has no such folder."""
    place = socket_of(uri)
    return place.parent.parent / "log/qemu" if place is not None else None


def silence_of(uri: str, patience_s: float) -> str:
    """
    Ask a libvirtd whether it is there.  Blocks, at most twice ``patience_s``.

    :return: why it says nothing, in words; empty: it answers, or libvirt itself has to find out
    """
    place = socket_of(uri)
    if place is None:
        return ""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(patience_s)
        try:
            link.connect(str(place))
            link.sendall(_QUESTION)
            return "" if link.recv(1) else "libvirtd has hung up"
        except TimeoutError:
            return f"libvirtd says nothing for {patience_s:g} s"
        except OSError:  # libvirt has better words for it
            return ""
