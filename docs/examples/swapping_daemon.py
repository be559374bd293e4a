"""
A line server whose answers are made by code that is replaced while its clients are connected.

    python docs/examples/swapping_daemon.py TREE COPIES 7000   # serves on 127.0.0.1:7000 with the package ``greeter``
    kill -HUP PID                                              # loads what TREE holds now

TREE holds the package ``greeter``, with a function ``build(keep)`` in ``greeter/answers.py``: it gives an object with
``answer(line) -> str``, or raises.  ``keep`` is a dict that every generation finds as the one before left it: it
holds plain data.  COPIES is where copies of trees are kept.  ``docs/examples/show_swap.py`` plays it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver

from reload import Boundaries, CodeTree, Generation, Load, guard_plain_imports

reactor: Any = _reactor
BOUNDARIES = Boundaries(roots=("greeter",), kernel=())
LOAD_TIMEOUT_S = 10.0


def say(text: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"{os.getpid()} {text}\n")
    sys.stderr.flush()


class Greeting(LineReceiver):
    """One client: kernel, so it stays as it is when the code that answers is replaced."""

    delimiter = b"\n"

    def __init__(self, code: Code) -> None:
        self.code = code

    def lineReceived(self, line: bytes) -> None:
        """Whatever generation serves now answers."""
        self.sendLine(self.code.answers.answer(line.decode()).encode())


class Connections(Factory):
    """Makes them."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def buildProtocol(self, _address: Any) -> Greeting:
        """One for a client."""
        return Greeting(self.code)


class Code:
    """The generation that serves, and how it is replaced."""

    def __init__(self, tree: Path, copies: Path) -> None:
        self.tree = tree
        self.copies = copies
        self.number = 0
        self.generation: Generation | None = None
        self.answers: Any = None
        self.keep: dict[str, Any] = {}

    def replace(self) -> Deferred[None]:
        """Load the tree as it is now and let it answer; if it cannot, all stays as it is."""
        return Deferred.fromCoroutine(self._replace()).addErrback(lambda failure: say(f"kept: {failure.value!r}"))

    async def _replace(self) -> None:
        self.number += 1
        generation = await deferToThread(self._stage, self.number)
        try:
            # In a thread of its own: a module that hangs is given up, and the next one loads all the same.
            load: Load[Any] = Load(reactor, lambda: self._build(generation))
            answers = await load.result.addTimeout(LOAD_TIMEOUT_S, reactor)
        except BaseException:
            self._drop(generation)
            raise
        old, self.generation, self.answers = self.generation, generation, answers  # from the next line on
        say(f"generation {generation.number} answers")
        if old is not None:
            self._drop(old)

    def _stage(self, number: int) -> Generation:
        return Generation(number, CodeTree.scan(self.tree, BOUNDARIES).stage(self.copies), BOUNDARIES)

    def _build(self, generation: Generation) -> Any:
        answers = generation.load("greeter.answers").build(self.keep)
        generation.watch(answers)
        return answers

    def _drop(self, generation: Generation) -> None:
        generation.release()
        reactor.callLater(0.05, self._free, generation, generation.free([self, self.keep]))

    def _free(self, generation: Generation, steps: Iterator[None]) -> None:
        for _ in steps:  # one step of about a millisecond in each turn of the reactor
            reactor.callLater(0, self._free, generation, steps)
            return
        if generation.living():
            generation.find_holders(reactor).addCallback(lambda lines: say(f"not freed: {lines}"))
        else:
            say(f"generation {generation.number} is freed")


def main(tree: str, copies: str, port: str) -> None:
    """Serve until killed."""
    guard_plain_imports(BOUNDARIES)
    code = Code(Path(tree), Path(copies))
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(code.replace))

    def serve(_: object) -> None:
        listening = reactor.listenTCP(int(port), Connections(code), interface="127.0.0.1")
        say(f"serves on port {listening.getHost().port}")

    reactor.callWhenRunning(lambda: code.replace().addCallback(serve))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
