"""What clients saw, as plain data for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._figures import Window, summary
from ._requests import RequestResult
from ._streams import StreamResult
from ._ticker import Tick


def requests_table(result: RequestResult) -> dict[str, Any]:
    return {
        "answered": len(result.due),
        "idle_answered": result.touched,
        "idle_longest_ms": round(result.touch_longest_s * 1e3, 1),
        "closed": result.closed,
        "lost": result.lost,
        "unsent": result.unsent,
        "wrong": result.wrong,
        "reconnects": result.reconnects,
        "examples": result.examples,
    }


def streams_table(found: Sequence[StreamResult], ticks: Sequence[Tick], wanted: int) -> dict[str, Any]:
    """What event streams heard, beside what was made for them to hear."""
    chains: dict[tuple[int, int], int] = {}
    heard: dict[int, list[float]] = {}
    for result in found:
        for chain, count in result.chains.items():
            chains[chain] = chains.get(chain, 0) + count
        for number, (first, last, streams) in result.heard.items():
            known = heard.setdefault(number, [first, last, 0])
            known[:] = [min(first, known[0]), max(last, known[1]), known[2] + streams]
    begun = sum(result.begun for result in found)
    missed: int = sum(begun - int(heard.get(tick.number, [0, 0, 0])[2]) for tick in ticks)
    return {
        "streams": begun,
        "not_begun": wanted - begun,
        "dropped": sum(result.dropped for result in found),
        "events": len(ticks),
        "missed": missed,
        "gaps": sum(result.gaps for result in found),
        "doubled": sum(result.doubled for result in found),
        "different_sequences": len(chains) - 1 if chains else 0,
        "last_heard_ms": summary([(heard[tick.number][1] - tick.sent) * 1e3 for tick in ticks if tick.number in heard]),
        "examples": [example for result in found for example in result.examples][:10],
    }


def stream_errors(table: dict[str, Any]) -> int:
    names = ("not_begun", "dropped", "missed", "gaps", "doubled", "different_sequences")
    return sum(int(table[name]) for name in names)


def stream_pauses(
    found: Sequence[StreamResult], ticks: Sequence[Tick], windows: Sequence[Window]
) -> dict[str, dict[str, float]]:
    """How long it took until the last stream had heard of an event that was made in one of the windows, if any did."""
    waits = []
    for tick in ticks:
        if any(window.begin <= tick.sent <= window.end for window in windows):
            heard = [result.heard[tick.number][1] for result in found if tick.number in result.heard]
            waits += [(max(heard) - tick.sent) * 1e3] if heard else []
    return {"last_stream_ms": summary(waits)} if waits else {}
