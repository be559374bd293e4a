"""What builds before this one packed is read today, and what is packed today is read there."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.application import HANDLER_STATES
from cloudd.protocols.http import http_kinds
from cloudd.protocols.http._moving import UNNAMED_STATES
from cloudd.protocols.http._snapshot import VERSION
from reload import Kinds, NoConverter, Snapshot, Spoken, States
from reload._handover_messages import Hello, KindVersions

from .http.conversation import Conversation

SAMPLES = Path(__file__).parent.parent / "snapshots"
#: Where and what a state tells, of each kind, in the samples.
FIELDS = {
    "event-stream": {"position"},
    "s3-get": {"source", "start", "length", "caller"},
    "s3-part": {"upload", "caller", "payload", "checksum"},
    "s3-put": {"upload", "caller", "payload"},
    "swift-get": {"source", "parts"},
    "swift-put": {"upload"},
}


def samples(version: int) -> dict[str, bytes]:
    """By kind of the handler's state."""
    return {path.stem: path.read_bytes() for path in (SAMPLES / f"http-connection-{version}").glob("*.snapshot")}


def today() -> Kinds:
    return http_kinds(lambda: Spoken([HANDLER_STATES]))


class SampleTests(SynchronousTestCase):
    def read(self, version: int) -> dict[str, Snapshot]:
        """All samples of a version as today's code gets them."""
        found = {}
        for kind, data in samples(version).items():
            self.assertEqual(Snapshot.unpack(data).version, version)
            found[kind] = today().received(data)
        self.assertEqual(found.keys(), set(FIELDS))
        return found

    def test_read(self) -> None:
        """In today's versions; each is a connection that can go on."""
        for version in (2, 3):
            for kind, snapshot in self.read(version).items():
                state = snapshot.fields["request"]["handler"]
                self.assertEqual((snapshot.version, state["kind"]), (VERSION, kind))
                self.assertEqual(state["version"], HANDLER_STATES.versions[kind])
                count = snapshot.fields["request"]["descriptors"]
                connection = Conversation().factory.restore(snapshot, tuple(range(count)))
                assert connection.request is not None
                self.assertEqual(connection.request.resumed, state["fields"])

    def test_fields(self) -> None:
        """As they were told, whichever version of the connection they came in."""
        kinds = http_kinds()  # handlers' states as they are
        for version in (2, 3):
            for kind, data in samples(version).items():
                state = kinds.received(data).fields["request"]["handler"]
                self.assertEqual((state["version"], state["fields"].keys()), (1, FIELDS[kind]))

    def test_written_for_the_builds_before(self) -> None:
        """Whose greeting names no states: version 2, with kind and version among the fields."""
        reads = KindVersions(writes=(1, 2), reads=(1, 2))
        agreement = today().agree(Hello(protocols=(1,), kinds={"http-connection": reads}))
        self.assertEqual((agreement.inner, agreement.unsendable), (UNNAMED_STATES, ()))
        for kind, snapshot in self.read(2).items():
            sent = today().to_send(snapshot, agreement)
            before = Snapshot.unpack(samples(2)[kind])
            before.fields["request"]["handler"]["kind"] = kind  # event streams told none, and do not mind one
            self.assertEqual(sent, before)

    def test_another_version_of_each(self) -> None:
        """Not read without its step, also when it was not found out before."""
        for kind, snapshot in self.read(3).items():
            other = States({**HANDLER_STATES.versions, kind: 99}, HANDLER_STATES.converters)
            kinds = http_kinds(lambda other=other: Spoken([other]))  # type: ignore[misc]
            error = self.assertRaises(NoConverter, kinds.received, snapshot.pack())
            self.assertIn(f"{kind}: version 1 cannot become version 99", str(error))
