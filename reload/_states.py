# -*- test-case-name: tests.reload.test_states -*-
"""
Kinds of snapshots that code keeps apart from what carries them, and what two versions of such code can exchange.

The state of a request's handler lies inside the snapshot of its connection.  The connection's code is the same as long
as the process lives, the handler's changes with each generation; and several generations may live at once, each with
requests in it.  So what a process can tell is asked of all of them (``Spoken``), each time.

Two codes may exchange a kind when they have a common version of it.  A kind that only one of them has is no obstacle:
what is in that state stays where it is until it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from attrs import define, field, frozen

from ._snapshot import Converters, Snapshot, SnapshotError


class UnknownKind(SnapshotError):
    """There is nobody here who knows this kind of snapshot."""


@frozen
class States:
    """
    The kinds of one version of the code.

    :param versions: for each kind the version that this code works with
    :param converters: the steps to and from other versions
    """

    versions: Mapping[str, int] = field(factory=dict)
    converters: Converters = field(factory=Converters)

    @classmethod
    def joined(cls, parts: Iterable[States]) -> States:
        """
        Those of all parts of a program.

        :raises ValueError: two of them have the same kind
        """
        versions: dict[str, int] = {}
        every = list(parts)
        for part in every:
            twice = versions.keys() & part.versions.keys()
            if twice:
                raise ValueError(f"two parts have the kind {sorted(twice)[0]}")
            versions.update(part.versions)
        return cls(versions, Converters.merged([part.converters for part in every]))


@define(slots=False)
class Spoken:
    """
    What all the code in a process can tell, and what the code that goes on with a state reads.

    :param codes: the first goes on with what comes; the others may have told what is still there
    """

    codes: Sequence[States]

    @cached_property
    def converters(self) -> Converters:
        """The steps that any of them knows; where two know the same one, that of the first."""
        return Converters.merged([code.converters for code in self.codes])

    def kinds(self) -> set[str]:
        """All kinds that any of them has."""
        return {kind for code in self.codes for kind in code.versions}

    def own(self, kind: str) -> int:
        """The version of the first that has it."""
        return next(code.versions[kind] for code in self.codes if kind in code.versions)

    def writes(self, kind: str) -> tuple[int, ...]:
        """The versions that all states of ``kind`` can become, whoever told them; in order."""
        told = {code.versions[kind] for code in self.codes if kind in code.versions}
        common = set.intersection(*(set(self.converters.reachable(kind, version)) for version in told))
        return tuple(sorted(common))

    def reads(self, kind: str) -> tuple[int, ...]:
        """The versions that the first can go on with, in order; none when it does not have this kind."""
        if not self.codes or kind not in self.codes[0].versions:
            return ()
        return self.codes[0].converters.readable(kind, self.codes[0].versions[kind])

    def converted(self, snapshot: Snapshot, version: int) -> Snapshot:
        """
        ``snapshot`` in another version, as ``Converters.convert``.

        :raises SnapshotError: there is no way, or a step failed
        """
        return self.converters.convert(snapshot, version)

    def received(self, snapshot: Snapshot) -> Snapshot:
        """
        ``snapshot`` in the version that the first goes on with.

        :raises UnknownKind: it does not have this kind
        :raises SnapshotError: as ``converted``
        """
        version = self.codes[0].versions.get(snapshot.kind) if self.codes else None
        if version is None:
            raise UnknownKind(f"{snapshot.kind} {snapshot.version}: this code does not go on with it")
        return self.converted(snapshot, version)

    def obstacles(self, new: States) -> list[str]:
        """
        Why ``new`` cannot take the place of these codes, or not leave it to the first again; by kind and versions.

        ``new`` brings the steps in both directions, or these have them.
        """
        both = Converters.merged([new.converters, self.converters])
        found = []
        for kind, version in new.versions.items():
            told = sorted({code.versions[kind] for code in self.codes if kind in code.versions})
            lost = [old for old in told if version not in both.reachable(kind, old)]
            if lost:
                found.append(f"{cause(kind, lost, both.readable(kind, version))} by the new code")
            elif told and self.own(kind) not in both.reachable(kind, version):
                back = both.readable(kind, self.own(kind))
                found.append(f"{cause(kind, [version], back)} by the code that runs, which may have to take it back")
        return found


def cause(kind: str, writes: Iterable[int], reads: Iterable[int]) -> str:
    """Why nothing of this kind can go over, in words for operators."""
    written = ", ".join(map(str, writes)) or "that is not the same for all"
    readable = ", ".join(map(str, reads))
    if not readable:
        return f"{kind}: written as version {written}, and the other side does not know it"
    return f"{kind}: written as version {written}, read are only {readable}"
