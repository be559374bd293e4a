# -*- test-case-name: tests.metadata.test_tree -*-
"""Which document a path means: ``/openstack`` has a tree of its own, everything else is Amazon's."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from . import _ec2, _openstack
from ._facts import GuestFacts
from ._openstack import Entropy

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


class NoSuchDocument(Exception):
    """There is nothing at that path, for this server or for any."""


@frozen
class Document:
    """What a guest gets."""

    content_type: str
    body: bytes


def listing_of(path: str) -> Document | None:
    """What is at the top of a tree, the same for all servers; None: the path is of one server."""
    names = _names(path)
    if names == ["ec2"]:
        return _lines((*_ec2.VERSIONS, _ec2.LATEST))
    if names == ["openstack"]:
        return _lines((*_openstack.VERSIONS, _openstack.LATEST))
    return None


def find(path: str, facts: GuestFacts, entropy: Entropy) -> Document:
    """
    What a server gets for a path.

    :param path: percent-decoded; with or without a slash at its end
    :param entropy: n -> n random bytes
    :raises NoSuchDocument:
    """
    if (listing := listing_of(path)) is not None:
        return listing
    tree, version, *names = _names(path)
    found = _in_openstack(version, names, facts, entropy) if tree == "openstack" else _in_ec2(version, names, facts)
    if found is None:
        raise NoSuchDocument
    return found


def _names(path: str) -> list[str]:
    names = posixpath.normpath("/" + path.lstrip("/")).split("/")[1:]
    if names == [""]:
        return ["ec2"]
    return names if names[0] in ("ec2", "openstack") else ["ec2", *names]


def _in_openstack(named: str, names: Sequence[str], facts: GuestFacts, entropy: Entropy) -> Document | None:
    version = _openstack.version_of(named)
    if version is None:
        return None
    documents = _openstack.documents_of(facts, version)
    if not names:
        return _lines(documents)
    name = "/".join(names)
    if name not in documents:
        return None
    kind = JSON if name.endswith(".json") else TEXT
    return Document(kind, _openstack.document(facts, version, name, entropy))


def _in_ec2(version: str, names: Sequence[str], facts: GuestFacts) -> Document | None:
    tree = _ec2.tree(facts, version)
    if tree is None:
        return None
    try:
        return Document(TEXT, _ec2.printed(_ec2.below(tree, names)))
    except KeyError:
        return None


def _lines(names: Sequence[str]) -> Document:
    return Document(TEXT, "\n".join(names).encode())
