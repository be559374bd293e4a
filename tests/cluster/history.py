# -*- test-case-name: tests.cluster.test_history -*-
"""
What clients asked for and were told, and whether the cloud's state agrees with it.

A client enters each request before it sends it, and its end.  An order that broke off without an answer, or with one
that says so, is ``unknown``: it may have been done, once, or not.  Afterwards ``judge`` compares, without any I/O.

**What must hold**: an accepted order has one task with one outcome, and each of its effects once; a refused one has
nothing; one of unknown fate has nothing or all of it; nothing is there that nobody ordered.  A record that was accepted
is found by each look that begins afterwards, at whichever node, and is there once in the end.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from attrs import asdict, define, field, frozen

Fate = Literal["accepted", "refused", "unknown"]
What = Literal["task", "record", "look"]
FATES = ("accepted", "refused", "unknown")


@frozen(kw_only=True)
class Entry:
    """
    One request.

    :ivar what: ``task``: an order; ``record``: something was made, with ``key`` as its name; ``look``: for that
    :ivar key: unique among orders, and among records
    :ivar node: who was asked
    :ivar began: seconds, of one clock for all entries
    :ivar fate: of a look: ``accepted`` when it was found, ``refused`` when it was not there
    :ivar said: the id that was answered, or the cause
    """

    what: What
    key: str
    node: str
    began: float
    ended: float
    fate: Fate
    said: str = ""


@frozen(kw_only=True)
class TaskRow:
    """A task as it is in the end; ``key`` is the order's."""

    id: str
    key: str
    state: str
    cause: str = ""


@frozen(kw_only=True)
class Effect:
    """One row that a task wrote."""

    task_id: str
    key: str
    what: str


@frozen(kw_only=True)
class Ending:
    """
    The cloud's state afterwards.

    :ivar effects: each with what it was written for
    :ivar expected: the effects of a task that is done
    :ivar records: names; one that is there twice is named twice
    """

    tasks: Sequence[TaskRow] = ()
    effects: Sequence[Effect] = ()
    expected: frozenset[str] = frozenset()
    records: Sequence[str] = ()


@frozen(kw_only=True)
class Verdict:
    """
    What is wrong, in words; and numbers.

    :ivar lost: accepted, and nothing is there
    :ivar ghosts: refused, and something is there; or nobody ordered it
    :ivar doubled: two tasks of one order, or an effect or record twice
    :ivar stuck: not ended
    :ivar failed: ended as failed, with the cause
    :ivar torn: done without all its effects, or failed or absent with some
    :ivar stale: a look did not find what had been accepted before it began
    """

    counts: dict[str, int]
    lost: list[str] = field(factory=list)
    ghosts: list[str] = field(factory=list)
    doubled: list[str] = field(factory=list)
    stuck: list[str] = field(factory=list)
    failed: list[str] = field(factory=list)
    torn: list[str] = field(factory=list)
    stale: list[str] = field(factory=list)

    FAULTS = ("lost", "ghosts", "doubled", "stuck", "failed", "torn", "stale")

    @property
    def is_good(self) -> bool:
        return not any(getattr(self, name) for name in self.FAULTS)

    def told(self) -> dict[str, Any]:
        """For JSON: how many of each, and examples."""
        found = {name: getattr(self, name) for name in self.FAULTS}
        numbers = {name: len(words) for name, words in found.items()}
        return {**self.counts, **numbers, "examples": [words[0] for words in found.values() if words]}


def judge(history: Iterable[Entry], ending: Ending) -> Verdict:
    """Compare what clients were told with what is there."""
    entries = list(history)
    verdict = Verdict(counts=_counts(entries, ending))
    _judge_tasks([entry for entry in entries if entry.what == "task"], ending, verdict)
    _judge_records(entries, ending, verdict)
    return verdict


def _counts(entries: Sequence[Entry], ending: Ending) -> dict[str, int]:
    found = Counter(f"{entry.what}s_{entry.fate}" for entry in entries)
    outcomes = Counter(f"tasks_{row.state}" for row in ending.tasks)
    ended = outcomes["tasks_done"] + outcomes["tasks_failed"]
    return {**dict(sorted(found.items())), **dict(sorted(outcomes.items())), "outcomes": ended}


def _judge_tasks(orders: Sequence[Entry], ending: Ending, verdict: Verdict) -> None:
    by_key: dict[str, list[TaskRow]] = defaultdict(list)
    for row in ending.tasks:
        by_key[row.key].append(row)
    effects: dict[str, Counter[str]] = defaultdict(Counter)
    for effect in ending.effects:
        effects[effect.task_id][effect.what] += 1
    ordered = _unique(orders)
    for key, order in ordered.items():
        rows = by_key.get(key, [])
        _judge_order(order, rows, verdict)
        for row in rows:
            _judge_row(row, effects.get(row.id, Counter()), ending.expected, verdict)
    verdict.ghosts.extend(f"task {row.id} of {key}, which nobody ordered"
                          for key, rows in by_key.items() if key not in ordered for row in rows)  # fmt: skip
    known = {row.id for row in ending.tasks}
    verdict.torn.extend(f"an effect {effect.what} of {effect.key} without its task {effect.task_id}"
                        for effect in ending.effects if effect.task_id not in known)  # fmt: skip


def _unique(entries: Iterable[Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.key in found:
            raise ValueError(f"{entry.what} {entry.key} was asked for twice: its fate cannot be told")
        found[entry.key] = entry
    return found


def _judge_order(order: Entry, rows: Sequence[TaskRow], verdict: Verdict) -> None:
    if len(rows) > 1:
        verdict.doubled.append(f"order {order.key} has {len(rows)} tasks")
    if order.fate == "accepted" and not rows:
        verdict.lost.append(f"order {order.key}, accepted by {order.node} as {order.said}")
    elif order.fate == "accepted" and order.said not in {row.id for row in rows}:
        verdict.lost.append(f"order {order.key} was answered with {order.said}, its task is {rows[0].id}")
    elif order.fate == "refused" and rows:
        verdict.ghosts.append(f"order {order.key}, refused by {order.node} ({order.said}), is task {rows[0].id}")


def _judge_row(row: TaskRow, effects: Counter[str], expected: frozenset[str], verdict: Verdict) -> None:
    if row.state not in {"done", "failed"}:
        verdict.stuck.append(f"task {row.id} of {row.key} is {row.state}")
    if row.state == "failed":
        verdict.failed.append(f"task {row.id} of {row.key}: {row.cause}")
    twice = sorted(what for what, times in effects.items() if times > 1)
    if twice:
        verdict.doubled.append(f"task {row.id} of {row.key} has {', '.join(twice)} more than once")
    if row.state == "done" and set(effects) != expected:
        verdict.torn.append(f"task {row.id} of {row.key} is done with {sorted(effects)}, not {sorted(expected)}")


def _judge_records(entries: Sequence[Entry], ending: Ending, verdict: Verdict) -> None:
    made = _unique(entry for entry in entries if entry.what == "record")
    there = Counter(ending.records)
    for key, entry in made.items():
        if there[key] > 1:
            verdict.doubled.append(f"record {key} is there {there[key]} times")
        if entry.fate == "accepted" and not there[key]:
            verdict.lost.append(f"record {key}, accepted by {entry.node}")
        if entry.fate == "refused" and there[key]:
            verdict.ghosts.append(f"record {key}, refused by {entry.node} ({entry.said})")
    verdict.ghosts.extend(f"record {key}, which nobody made" for key in there if key not in made)
    for look in entries:
        if look.what != "look":
            continue
        record = made.get(look.key)
        if look.fate == "accepted" and (record is None or (record.fate == "refused")):
            verdict.ghosts.append(f"record {look.key} was found at {look.node}, and nobody was told that it is there")
        if look.fate == "refused" and record is not None and record.fate == "accepted" and record.ended <= look.began:
            late = look.began - record.ended
            verdict.stale.append(f"record {look.key} was not found at {look.node} {late:.3f} s after it was accepted")


@define
class History:
    """
    Entries as they come, of several threads; also in a file, so that a killed bench leaves what it knew.

    :param clock: seconds, never going back
    """

    path: Path
    clock: Callable[[], float] = time.monotonic
    entries: list[Entry] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock)
    _file: IO[str] | None = field(init=False, default=None)

    def ask(self, what: What, key: str, node: str, send: Callable[[], tuple[Fate, str]]) -> Entry:
        """
        One request.

        :param send: its fate, and what was said; whatever it raises is ``unknown``
        """
        began = self.clock()
        try:
            fate, said = send()
        except Exception as error:
            fate, said = "unknown", f"{type(error).__name__}: {error}"
        entry = Entry(what=what, key=key, node=node, began=began, ended=self.clock(), fate=fate, said=said)
        with self._lock:
            self.entries.append(entry)
            if self._file is None:
                self._file = self.path.open("a")
            self._file.write(json.dumps(asdict(entry)) + "\n")
            self._file.flush()
        return entry

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def read_history(path: Path) -> Iterator[Entry]:
    """
    What a ``History`` wrote; a last line that is cut off is left out.

    :raises ValueError: another line cannot be read
    """
    lines = path.read_text().split("\n")
    for line in lines[:-1]:
        yield Entry(**json.loads(line))
