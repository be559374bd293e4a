# -*- test-case-name: tests.net.test_ruleset -*-
"""
Tables of nftables as values: read from a listing, compared, and the difference as libnftables' JSON.  Pure.

Expressions do not come back from the kernel as they were given, so each rule carries a comment with the digest of what
it was made of; a rule that somebody put in, took out or replaced shows.  Elements do come back as given.

The commands are for one transaction: sets and chains first, then rules, elements, and at last what nothing refers to
any more.  Source: libnftables-json(5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import field, frozen

from ._taps import DEFAULT_PREFIX

TABLE: Final = "cloudd"
"""That of the default prefix."""

FAMILIES: Final = ("inet", "arp")
ACCEPTS: Final = "accept"
"""The policy of our chains."""

Name = tuple[str, str]
"""The family of the table, and the name of the set or chain in it."""

Command = dict[str, Any]


def table_name(prefix: str) -> str:
    """Of our tables: networks with other prefixes on one host have their own."""
    return TABLE if prefix == DEFAULT_PREFIX else f"{TABLE}-{prefix}"


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def mark_of(expression: str) -> str:
    """The comment of a rule."""
    return hashlib.sha256(expression.encode()).hexdigest()[:16]


@frozen
class Set:
    """
    A set, or a map to verdicts.

    :ivar key: the type of its keys; several are a concatenation
    :ivar intervals: its elements may be prefixes
    """

    key: tuple[str, ...]
    verdicts: bool = False
    intervals: bool = False


@frozen
class Chain:
    """
    A chain and the marks of its rules.

    :ivar base: type, hook, priority and policy, where it is called by the kernel
    :ivar marks: comments of its rules, in order
    """

    base: tuple[str, str, int, str] | None = None
    marks: tuple[str, ...] = ()


@frozen(kw_only=True)
class Ruleset:
    """
    :ivar families: of the tables that are there
    :ivar flagged: those of them that have a flag; ``dormant`` would put the whole table to sleep
    :ivar elements: by set, each as its JSON text
    :ivar expressions: by mark, each as its JSON text; empty in one that was read
    """

    families: frozenset[str] = frozenset()
    flagged: frozenset[str] = frozenset()
    sets: dict[Name, Set] = field(factory=dict)
    elements: dict[Name, frozenset[str]] = field(factory=dict)
    chains: dict[Name, Chain] = field(factory=dict)
    expressions: dict[str, str] = field(factory=dict, eq=False)


def read(listings: Iterable[dict[str, Any]]) -> Ruleset:
    """:param listings: each the answer to ``list table`` for one of our tables"""
    families: set[str] = set()
    flagged: set[str] = set()
    sets: dict[Name, Set] = {}
    elements: dict[Name, frozenset[str]] = {}
    chains: dict[Name, Chain] = {}
    rules: dict[Name, list[str]] = {}
    for item in (item for listing in listings for item in listing["nftables"]):
        ((kind, body),) = item.items()
        if kind == "table":
            families.add(body["family"])
            if body.get("flags"):
                flagged.add(body["family"])
        elif kind in {"set", "map"}:
            name = (body["family"], body["name"])
            key = body["type"]
            sets[name] = Set(
                (key,) if isinstance(key, str) else tuple(key),
                body.get("map") == "verdict",
                "interval" in body.get("flags", ()),
            )
            elements[name] = frozenset(map(text_of, body.get("elem", ())))
        elif kind == "chain":
            base = (body["type"], body["hook"], body["prio"], body.get("policy", ACCEPTS)) if "hook" in body else None
            chains[body["family"], body["name"]] = Chain(base)
        elif kind == "rule":
            rules.setdefault((body["family"], body["chain"]), []).append(body.get("comment", ""))
    chains = {name: Chain(chain.base, tuple(rules.get(name, ()))) for name, chain in chains.items()}
    return Ruleset(
        families=frozenset(families), flagged=frozenset(flagged), sets=sets, elements=elements, chains=chains
    )


def difference(found: Ruleset, wanted: Ruleset, table: str = TABLE) -> list[Command]:
    """
    What makes ``wanted`` of ``found``; nothing where they are equal.

    :param table: name of the tables
    """
    if found == wanted:
        return []
    return [_in_table(command, table) for command in _commands(found, wanted)]


def _in_table(command: Command, table: str) -> Command:
    ((verb, objects),) = command.items()
    ((kind, body),) = objects.items()
    place = {"name": table} if kind == "table" else {"table": table}
    return {verb: {kind: {**body, **place}}}


def _commands(found: Ruleset, wanted: Ruleset) -> list[Command]:
    """Without the names of the tables."""
    reset = [_object("delete", "table", family) for family in sorted(found.families) if _unlike(found, wanted, family)]
    if reset:
        found = _without(found, {command["delete"]["table"]["family"] for command in reset})
    commands = [
        *reset,
        *(_object("add", "table", family) for family in FAMILIES if family in wanted.families - found.families),
        *(_add_set(name, wanted.sets[name]) for name in wanted.sets if name not in found.sets),
        *(_add_chain(name, wanted.chains[name]) for name in wanted.chains if name not in found.chains),
    ]
    for name in sorted(found.chains.keys() | wanted.chains.keys()):
        commands += _rules(name, found, wanted)
    for name in sorted(found.sets.keys() | wanted.sets.keys()):
        commands += _elements(name, found, wanted)
    gone = [("chain", name) for name in found.chains.keys() - wanted.chains.keys()]
    gone += [("set", name) for name in found.sets.keys() - wanted.sets.keys()]
    commands += [_object("delete", kind, family, name=name) for kind, (family, name) in sorted(gone)]
    return commands


def _unlike(found: Ruleset, wanted: Ruleset, family: str) -> bool:
    """Whether a table cannot be changed into what is wanted: a flag, a set or a base chain is another, or it goes."""
    if family not in wanted.families or family in found.flagged:
        return True
    sets = (name for name in found.sets.keys() & wanted.sets.keys() if name[0] == family)
    chains = (name for name in found.chains.keys() & wanted.chains.keys() if name[0] == family)
    return any(found.sets[name] != wanted.sets[name] for name in sets) or any(
        found.chains[name].base != wanted.chains[name].base for name in chains
    )


def _without(ruleset: Ruleset, families: set[str]) -> Ruleset:
    return Ruleset(
        families=ruleset.families - families,
        flagged=ruleset.flagged - families,
        sets={name: value for name, value in ruleset.sets.items() if name[0] not in families},
        elements={name: value for name, value in ruleset.elements.items() if name[0] not in families},
        chains={name: value for name, value in ruleset.chains.items() if name[0] not in families},
    )


def _object(verb: str, kind: str, family: str, **more: Any) -> Command:
    return {verb: {kind: {"family": family, **more}}}


def _add_set(name: Name, made: Set) -> Command:
    key = made.key[0] if len(made.key) == 1 else list(made.key)
    more: dict[str, Any] = {"map": "verdict"} if made.verdicts else {}
    if made.intervals:
        more["flags"] = ["interval"]
    return _object("add", "map" if made.verdicts else "set", name[0], name=name[1], type=key, **more)


def _add_chain(name: Name, chain: Chain) -> Command:
    more: dict[str, Any] = {}
    if chain.base:
        kind, hook, priority, policy = chain.base
        more = {"type": kind, "hook": hook, "prio": priority, "policy": policy}
    return _object("add", "chain", name[0], name=name[1], **more)


def _rules(name: Name, found: Ruleset, wanted: Ruleset) -> Iterator[Command]:
    before = found.chains.get(name, Chain()).marks
    after = wanted.chains.get(name, Chain()).marks
    if before == after:
        return
    if before:
        yield _object("flush", "chain", name[0], name=name[1])
    for mark in after:
        expression = json.loads(wanted.expressions[mark])
        yield _object("add", "rule", name[0], chain=name[1], expr=expression, comment=mark)


def _elements(name: Name, found: Ruleset, wanted: Ruleset) -> Iterator[Command]:
    before, after = found.elements.get(name, frozenset()), wanted.elements.get(name, frozenset())
    for verb, texts in (("delete", before - after), ("add", after - before)):
        if texts:
            yield _object(verb, "element", name[0], name=name[1], elem=list(map(json.loads, sorted(texts))))
