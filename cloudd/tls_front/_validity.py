# -*- test-case-name: tests.tls_front.test_certificates -*-
"""
When a certificate ends: the one fact of it that the standard library does not tell about a file of one's own.

A reader of just enough DER (ITU-T X.690) to walk to ``validity`` in RFC 5280, section 4.1.
"""

from __future__ import annotations

import calendar
import time

_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18


def not_after(certificate: bytes) -> float:
    """
    The end of a certificate's validity, in seconds since the epoch.

    :param certificate: DER
    :raises ValueError: this is no certificate
    """
    try:
        _tag, certificate_body, _end = _element(certificate, 0)
        _tag, facts, _end = _element(certificate_body, 0)
        at = 0
        tag, _value, end = _element(facts, at)
        if tag == _VERSION:
            at = end
        for _passed in ("serialNumber", "signature", "issuer"):
            _tag, _value, at = _element(facts, at)
        _tag, validity, _end = _element(facts, at)
        _tag, _not_before, at = _element(validity, 0)
        tag, text, _end = _element(validity, at)
        return _seconds(tag, text.decode("ascii"))
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("this is no certificate") from error


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag and content of the element at ``at``, and where the next one begins."""
    tag, length = data[at], data[at + 1]
    begin = at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    end = begin + length
    if end > len(data):
        raise IndexError("cut")
    return tag, data[begin:end], end


def _seconds(tag: int, text: str) -> float:
    if tag == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("this is no time")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
