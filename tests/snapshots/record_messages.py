"""
Write down what nodes say to each other, byte for byte: ``python -m tests.snapshots.record_messages FILE``.

Two nodes of this code talk, and what their buses hand to the transport is kept: the questions and events that the code
of nodes, tasks and rolling upgrades can send.  Answers are not kept: here they would be those of a fake anchor.  See
``tests.test_last_release``.
"""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from cloudd.interfaces.orders import Order
from cloudd.messaging._inprocess import InProcess
from cloudd.messaging._transport import Parcel
from cloudd.messaging._words import read_event, read_question
from cloudd.tasks._told import Told
from tests.nodes.test_topic import TopicCase

TREE = "/srv/cloudd/2.1"
ORDER = Order(
    id="rolling-0a1b2c3d4e5f.0123456789ab.0", tree=TREE, expected_hash="1" * 64, how="swap", canary=5.0, who="root"
)


class Recording(TopicCase):
    """
    :cvar file: where it is written
    """

    file = Path()

    async def test_record(self) -> None:
        """Each of the calls once, with all that it can be given, and the event."""
        sent: list[dict[str, Any]] = []
        send, publish = InProcess.send, InProcess.publish

        def tapped_send(process: InProcess, parcel: Parcel) -> Deferred[None]:
            question = read_question(parcel.body)
            sent.append({"kind": "question", "name": question.method, "body": parcel.body.hex()})
            return send(process, parcel)

        def tapped_publish(process: InProcess, key: str, message_id: str, body: bytes) -> Deferred[None]:
            sent.append({"kind": "event", "name": read_event(body).name, "body": body.hex()})
            return publish(process, key, message_id, body)

        self.patch(InProcess, "send", tapped_send)
        self.patch(InProcess, "publish", tapped_publish)
        await self.talk()
        self.assertEqual(len(sent), 6)
        self.file.write_text(json.dumps(sent, indent=1) + "\n")

    async def talk(self) -> None:
        """As an operator and the leader of a rolling upgrade make them."""
        orders, other = self.one.topic.orders, self.two.id
        await self.one.topic.calls()["nodes.live"](node=other)
        await orders.plan(other, TREE, "swap", 5.0)
        await orders.upgrade(other, ORDER)
        await orders.rollback(other, Order(id=f"{ORDER.id}.back", expected_hash="0" * 64, who="root"))
        await orders.status(other, ORDER.id)
        told = Told(reactor, self.one.bus, lambda: None)
        told.tell()
        await told.stop()


def main(file: Path) -> None:
    """Say what went wrong, by the exit code too."""
    Recording.file = file.absolute()
    sys.exit(not unittest.TextTestRunner().run(Recording("test_record")).wasSuccessful())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
