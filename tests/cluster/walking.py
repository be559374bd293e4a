"""Client walks through one node of a cluster, and connections that are held to all of them meanwhile."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter

from attrs import define, field

from .clients import Asking
from .cloud import Cluster, Node

PATH = "/identity/v3"


def let_log_in(node: Node, maker: Node) -> None:
    """
    Put ``clouds.yaml`` and ``s3.env`` of the node that made the cloud into another one's folder, with its address.

    They are in no other node's folder: users are the cloud's, and whoever has a node need not have their passwords.
    """
    if node is maker:
        return
    for name in ("clouds.yaml", "s3.env"):
        text = (maker.state / name).read_text().replace(maker.address, node.address)
        (node.state / name).write_text(text)
        shutil.copymode(maker.state / name, node.state / name)


@define
class Held:
    """
    Keep-alive connections to each node, each of which asks again and again.

    :param count: to each node
    :param every_s: of each connection
    :ivar seen: answers by status
    :ivar wrong: what else became of requests
    :ivar slowest_s: of all requests
    """

    cluster: Cluster
    count: int = 20
    every_s: float = 0.1
    seen: Counter[int] = field(factory=Counter)
    wrong: list[str] = field(factory=list)
    slowest_s: float = 0.0
    opened: int = 0
    _ended: threading.Event = field(factory=threading.Event)
    _threads: list[threading.Thread] = field(factory=list)

    def start(self) -> None:
        for node in self.cluster.nodes:
            self._threads.append(threading.Thread(target=self._hold, args=(node,), daemon=True))
            self._threads[-1].start()

    def _hold(self, node: Node) -> None:
        lines = [Asking(node) for _ in range(self.count)]
        while not self._ended.is_set():
            for line in lines:
                began = time.monotonic()
                try:
                    self.seen[line("GET", PATH)[0]] += 1
                except Exception as error:
                    self.wrong.append(f"{node.name}: {type(error).__name__}: {error}")
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self._ended.wait(self.every_s / self.count)
        self.opened += sum(line.opened for line in lines)
        for line in lines:
            line.close()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def is_good(self) -> bool:
        """Every request was answered well, on the connection that was opened first."""
        return not self.wrong and set(self.seen) == {200} and self.opened == self.count * len(self.cluster.nodes)
