# -*- test-case-name: tests.protocols.http -*-
"""Files to clients whose transport has no sendfile: piece by piece, at the client's speed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._errors import ClientGone, FileTooShort

if TYPE_CHECKING:
    from ._connection import HTTPConnection
    from ._request import Request

PIECE_BYTES = 65_536


def read_piece(descriptor: int, offset: int, length: int) -> bytes:
    """
    Bytes of a file.

    :raises FileTooShort: it has none there
    """
    piece = os.pread(descriptor, min(length, PIECE_BYTES), offset)
    if not piece:
        raise FileTooShort(f"the file ends at {offset}, {length} bytes before what was to be sent")
    return piece


async def send_pieces(connection: HTTPConnection, request: Request, descriptor: int, offset: int, length: int) -> None:
    """
    Queue ``length`` bytes of a file.

    :raises ClientGone: the client left meanwhile
    :raises FileTooShort: the file ended before
    """
    while length:
        if request.client_gone or request.finished:
            raise ClientGone
        piece = read_piece(descriptor, offset, length)
        offset += len(piece)
        length -= len(piece)
        request.sent_bytes += len(piece)
        connection.send(piece)
        waiting = connection.room()
        if waiting is not None:
            await waiting
