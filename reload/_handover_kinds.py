# -*- test-case-name: tests.reload.test_handover_kinds -*-
"""
Which versions of each kind of snapshot two processes can exchange; agreed before anything is touched.

A giver sends its own version where the taker reads that, else the newest that it can convert to and the taker reads.
A taker converts what it gets to its own version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import field, frozen

from ._handover_interfaces import Incompatible
from ._handover_messages import PROTOCOLS, Hello, KindVersions
from ._snapshot import Converters, Snapshot
from ._states import Spoken, cause


@frozen
class Agreement:
    """
    What two sides have agreed on.

    :ivar sends: for each kind of ours that the other reads, the version to send
    :ivar unsendable: why kinds of ours cannot be sent
    :ivar unreadable: why kinds of the other side's cannot be read here
    :ivar inner: as ``sends``, for what lies inside of other snapshots
    """

    sends: Mapping[str, int]
    unsendable: tuple[str, ...]
    unreadable: tuple[str, ...]
    inner: Mapping[str, int] = field(factory=dict)


@frozen
class Inner:
    """
    Snapshots that lie inside of others.

    :param spoken: gives what the code in this process can tell and read at this moment
    :param replace: ``replace(snapshot, convert)`` gives the outer snapshot with what ``convert`` makes of the inner one
    :param before: for a side whose greeting names no such kinds, being older than their names: what it has all the same
    """

    spoken: Callable[[], Spoken]
    replace: Callable[[Snapshot, Callable[[Snapshot], Snapshot]], Snapshot]
    before: Mapping[str, int]

    def hello(self) -> dict[str, KindVersions]:
        """What the greeting names."""
        spoken = self.spoken()
        return {kind: KindVersions(spoken.writes(kind), spoken.reads(kind)) for kind in sorted(spoken.kinds())}

    def agree(self, named: Mapping[str, KindVersions] | None) -> Agreement:
        """
        What can go over, in ``inner``; the causes are of kinds that both sides have, and no common version of.

        :param named: what the other side's greeting names
        """
        if named is None:
            named = {kind: KindVersions((version,), (version,)) for kind, version in self.before.items()}
        spoken = self.spoken()
        sends: dict[str, int] = {}
        unsendable, unreadable = [], []
        for kind, mine in self.hello().items():
            theirs = named.get(kind)
            if theirs is None:
                continue  # what is in such a state stays where it is until it ends
            common = set(theirs.reads) & set(mine.writes)
            if common:
                sends[kind] = spoken.own(kind) if spoken.own(kind) in common else max(common)
            elif theirs.reads:
                unsendable.append(cause(kind, mine.writes, theirs.reads))
            if mine.reads and not set(theirs.writes) & set(mine.reads):
                unreadable.append(cause(kind, theirs.writes, mine.reads))
        return Agreement({}, tuple(unsendable), tuple(unreadable), sends)

    def to_send(self, snapshot: Snapshot, agreement: Agreement) -> Snapshot:
        """
        ``snapshot`` with what lies inside in the version that the other side reads.

        :raises Incompatible: the other side does not have this kind
        :raises SnapshotError: the conversion failed
        """
        spoken = self.spoken()

        def convert(inner: Snapshot) -> Snapshot:
            version = agreement.inner.get(inner.kind)
            if version is None:
                raise Incompatible([f"the other process does not read {inner.kind} {inner.version}"])
            return spoken.converted(inner, version)

        return self.replace(snapshot, convert)

    def received(self, snapshot: Snapshot) -> Snapshot:
        """
        ``snapshot`` with what lies inside in the version that this code goes on with.

        :raises SnapshotError: it is not known here, or cannot be converted
        """
        return self.replace(snapshot, self.spoken().received)


@frozen
class Kinds:
    """
    The kinds of snapshots that this code writes and reads.

    :param versions: for each kind the version that this code works with
    :param converters: the steps to other versions
    :param inner: what lies inside of such snapshots, with versions of its own; ``None``: it goes as it is
    """

    versions: Mapping[str, int]
    converters: Converters = field(factory=Converters)
    inner: Inner | None = None

    def hello(self, name: str = "") -> Hello:
        """The first message to the other process."""
        kinds = {
            kind: KindVersions(
                writes=self.converters.reachable(kind, version), reads=self.converters.readable(kind, version)
            )
            for kind, version in self.versions.items()
        }
        inner = {} if self.inner is None else self.inner.hello()
        return Hello(protocols=PROTOCOLS, kinds=kinds, name=name, inner=inner)

    def agree(self, other: Hello) -> Agreement:
        """
        What can be sent to the side that said ``other``, and what can come from it.

        :raises Incompatible: there is no common version of the protocol
        """
        if not set(PROTOCOLS) & set(other.protocols):
            raise Incompatible([f"the other process speaks hand-over protocol {other.protocols}, this one {PROTOCOLS}"])
        mine = self.hello().kinds
        sends: dict[str, int] = {}
        unsendable: list[str] = []
        for kind, version in self.versions.items():
            reads = other.kinds[kind].reads if kind in other.kinds else ()
            common = set(reads) & set(mine[kind].writes)
            if common:
                sends[kind] = version if version in common else max(common)
            else:
                unsendable.append(cause(kind, mine[kind].writes, reads))
        unreadable = [
            cause(kind, theirs.writes, mine[kind].reads if kind in mine else ())
            for kind, theirs in other.kinds.items()
            if kind not in mine or not set(theirs.writes) & set(mine[kind].reads)
        ]
        inner = Agreement({}, (), ()) if self.inner is None else self.inner.agree(other.inner)
        return Agreement(sends, tuple(unsendable) + inner.unsendable, tuple(unreadable) + inner.unreadable, inner.inner)

    def to_send(self, snapshot: Snapshot, agreement: Agreement) -> Snapshot:
        """
        ``snapshot`` in the version that the other side reads.

        :raises KeyError: the kind was not agreed on
        :raises Incompatible: the other side does not have what lies inside
        :raises SnapshotError: the conversion failed
        """
        if self.inner is not None:
            snapshot = self.inner.to_send(snapshot, agreement)
        return self.converters.convert(snapshot, agreement.sends[snapshot.kind])

    def received(self, data: bytes) -> Snapshot:
        """
        What the other side packed, in the version that this code works with.

        :raises Incompatible: a kind that is not read here
        :raises SnapshotError: no snapshot, or it cannot be converted
        """
        snapshot = Snapshot.unpack(data)
        version = self.versions.get(snapshot.kind)
        if version is None:
            raise Incompatible([f"{snapshot.kind}: this process does not read it"])
        converted = self.converters.convert(snapshot, version)
        return converted if self.inner is None else self.inner.received(converted)
