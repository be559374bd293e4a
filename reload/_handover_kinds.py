# -*- test-case-name: tests.reload.test_handover_kinds -*-
"""
Which versions of each kind of snapshot two processes can exchange; agreed before anything is touched.

A giver sends its own version where the taker reads that, else the newest that it can convert to and the taker reads.
A taker converts what it gets to its own version.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from ._handover_interfaces import Incompatible
from ._handover_messages import PROTOCOLS, Hello, KindVersions
from ._snapshot import Converters, Snapshot


@frozen
class Agreement:
    """
    What two sides have agreed on.

    :ivar sends: for each kind of ours that the other reads, the version to send
    :ivar unsendable: why kinds of ours cannot be sent
    :ivar unreadable: why kinds of the other side's cannot be read here
    """

    sends: Mapping[str, int]
    unsendable: tuple[str, ...]
    unreadable: tuple[str, ...]


@frozen
class Kinds:
    """
    The kinds of snapshots that this code writes and reads.

    :param versions: for each kind the version that this code works with
    :param converters: the steps to other versions
    """

    versions: Mapping[str, int]
    converters: Converters = field(factory=Converters)

    def hello(self, name: str = "") -> Hello:
        """The first message to the other process."""
        kinds = {
            kind: KindVersions(
                writes=self.converters.reachable(kind, version), reads=self.converters.readable(kind, version)
            )
            for kind, version in self.versions.items()
        }
        return Hello(protocols=PROTOCOLS, kinds=kinds, name=name)

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
                unsendable.append(_cause(kind, mine[kind].writes, reads))
        unreadable = [
            _cause(kind, theirs.writes, mine[kind].reads if kind in mine else ())
            for kind, theirs in other.kinds.items()
            if kind not in mine or not set(theirs.writes) & set(mine[kind].reads)
        ]
        return Agreement(sends, tuple(unsendable), tuple(unreadable))

    def to_send(self, snapshot: Snapshot, agreement: Agreement) -> Snapshot:
        """
        ``snapshot`` in the version that the other side reads.

        :raises KeyError: the kind was not agreed on
        :raises SnapshotError: the conversion failed
        """
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
        return self.converters.convert(snapshot, version)


def _cause(kind: str, writes: tuple[int, ...], reads: tuple[int, ...]) -> str:
    written = ", ".join(map(str, writes))
    if not reads:
        return f"{kind}: written as version {written}, and the other side does not know it"
    return f"{kind}: written as version {written}, read are only {', '.join(map(str, reads))}"
