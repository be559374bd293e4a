# -*- test-case-name: tests.daemon.test_access_lines -*-
"""Access lines read back, in both forms that ``_access_log`` writes; what is no such line is None."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from cloudd.control import TracedRequest

_TEXT = re.compile(
    rb"(\S+) (\S+) (\S+) (\S+) (\S+) (\S+) (\S+) (\d{1,9}) (\d{1,12}\.\d{1,9}) (\d{1,18}) (\d{1,18}) (\d{1,18}) (\S+)"
    rb"(?: (\S+)( moved)?)?"  # older lines end with the peer
)
_PRINTABLE = re.compile(rb"[ -~]*")
_decoder = msgspec.json.Decoder(TracedRequest)


def parse_line(line: bytes) -> TracedRequest | None:
    """
    One line, without its end.

    :return: the facts in it, with no ``hash``; None: it is torn, or something else
    """
    found = _parse_json(line) if line.startswith(b"{") else _parse_text(line)
    return found if found is not None and seconds_of(found.time) is not None else None


def seconds_of(time: str) -> float | None:
    """A line's time as seconds since the epoch; None: it is no time of such a line."""
    try:
        return datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() if time.endswith("Z") else None
    except ValueError:
        return None


def _parse_json(line: bytes) -> TracedRequest | None:
    try:
        return msgspec.structs.replace(_decoder.decode(line), hash="")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _parse_text(line: bytes) -> TracedRequest | None:
    fields = _TEXT.fullmatch(line) if _PRINTABLE.fullmatch(line) else None
    if fields is None:
        return None
    texts = ["" if value in {b"-", None} else value.decode("ascii") for value in fields.groups()]
    time, request_id, face, project_id, method, path, route = texts[:7]
    return TracedRequest(
        time=time,
        request_id=request_id,
        face=face,
        project_id=project_id,
        method=method,
        path=path,
        route=route,
        status=int(texts[7]),
        ms=float(texts[8]),
        received_bytes=int(texts[9]),
        sent_bytes=int(texts[10]),
        generation=int(texts[11]),
        peer=texts[12],
        worker=texts[13],
        moved=fields[15] is not None,
    )
