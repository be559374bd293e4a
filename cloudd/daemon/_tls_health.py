# -*- test-case-name: tests.daemon.test_tls_front -*-
"""What is said of TLS in ``/health`` and ``/metrics``, from what fronts say of themselves.  Pure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ._health import Part, failing, noted, ok_part

SOON_S = 14 * 86_400.0


def tls_part(status: Mapping[str, Any] | None, silence: str, faces: Sequence[str], now: float) -> Part:
    """
    The part ``tls``.

    Clients that meet an expired certificate, or none, turn away: that is a failure.  What is only going to be
    one is a note, since it is no reason to take this host out of service.

    :param status: of the front that accepts; None: there is none, for the reason in ``silence``
    :param now: seconds since the epoch
    """
    if status is None:
        return failing(f"a TLS front {silence}: if this lasts, see the daemon's log")
    certificates, problems = status["certificates"], list(status["problems"])
    served = {told["face"] for told in certificates}
    bare = [face for face in faces if face not in served]
    if bare:
        cause = f": {problems[0]}" if problems else ""
        return failing(f"no certificate for {', '.join(bare)}, which accepts nothing{cause}")
    expired = [told for told in certificates if told["expires"] <= now]
    if expired:
        when = _date(expired[0]["expires"])
        return failing(f"{expired[0]['path']} has expired on {when}: replace it, it is read without a restart")
    notes = problems[:3] + [
        f"{told['path']} expires on {_date(told['expires'])}, in {(told['expires'] - now) / 86_400:.1f} days"
        for told in certificates[:3]
        if told["expires"] - now < SOON_S
    ]
    return noted("; ".join(notes)) if notes else ok_part()


def tls_metrics(statuses: Sequence[Mapping[str, Any]], restarts: int) -> list[dict[str, Any]]:
    """Families as ``merge_metrics`` takes them, over all fronts; the first one is one that accepts."""
    connections: Counter[str] = Counter()
    handshakes: Counter[tuple[str, str]] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    received: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for status in statuses:
        for face, told in status["faces"].items():
            connections[face] += told["connections"]
            received[face] += told["received_bytes"]
            sent[face] += told["sent_bytes"]
            for version, count in told["handshakes"].items():
                handshakes[face, version] += count
            for reason, count in told["failures"].items():
                failures[face, reason] += count
    ends = [
        ["cloudd_tls_certificate_expiry_seconds", {"face": told["face"], "name": told["name"]}, told["expires"]]
        for told in (statuses[0]["certificates"] if statuses else [])
    ]
    drained = sum(bool(status["draining"]) for status in statuses)
    fronts = [
        ["cloudd_tls_fronts", {"state": "serving"}, len(statuses) - drained],
        ["cloudd_tls_fronts", {"state": "draining"}, drained],
    ]
    broken = len(statuses[0]["problems"]) if statuses else 0
    return [
        _by_face("cloudd_tls_connections", "gauge", "Open connections over TLS", connections),
        _by_face("cloudd_tls_received_bytes", "counter", "Decrypted bytes from clients", received),
        _by_face("cloudd_tls_sent_bytes", "counter", "Bytes encrypted for clients", sent),
        _by_two("cloudd_tls_handshakes", "Finished handshakes by version", "version", handshakes),
        _by_two("cloudd_tls_handshake_failures", "Handshakes that failed", "reason", failures),
        _family("cloudd_tls_certificate_expiry_seconds", "gauge", "When a certificate ends, since the epoch", ends),
        _family("cloudd_tls_fronts", "gauge", "TLS front processes", fronts),
        _family(
            "cloudd_tls_certificate_problems",
            "gauge",
            "Certificate files that cannot be used",
            [["cloudd_tls_certificate_problems", {}, broken]],
        ),
        _family(
            "cloudd_tls_front_restarts",
            "counter",
            "Times the TLS front was started again",
            [["cloudd_tls_front_restarts_total", {}, restarts]],
        ),
    ]


def _by_face(name: str, kind: str, meaning: str, counts: Mapping[str, int]) -> dict[str, Any]:
    sample = f"{name}_total" if kind == "counter" else name
    return _family(name, kind, meaning, [[sample, {"face": face}, count] for face, count in counts.items()])


def _by_two(name: str, meaning: str, label: str, counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    samples = [[f"{name}_total", {"face": face, label: text}, count] for (face, text), count in counts.items()]
    return _family(name, "counter", meaning, samples)


def _family(name: str, kind: str, meaning: str, samples: list[list[Any]]) -> dict[str, Any]:
    return {"name": name, "type": kind, "help": meaning, "samples": samples}


def _date(seconds: float) -> str:
    return time.strftime("%F %H:%M UTC", time.gmtime(seconds))
