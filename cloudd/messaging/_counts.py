"""What is measured, by name; ``docs/messaging.md`` lists it."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cloudd.interfaces.application import Metrics


@define(eq=False)
class Counts:
    """Metric objects of the worker."""

    _metrics: Metrics
    _sent: Any = field(init=False)
    _served: Any = field(init=False)
    _seconds: Any = field(init=False)
    _under_way: Any = field(init=False)
    _apart: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        metrics = self._metrics
        self._sent = metrics.counter(
            "cloudd_messages_sent", "Messages that went out, and what became of them", ("way", "how")
        )
        self._served = metrics.counter("cloudd_messages_served", "Messages that came, by their end", ("topic", "how"))
        self._seconds = metrics.histogram("cloudd_message_call_seconds", "From a call to its answer", ("topic",))
        self._under_way = metrics.gauge("cloudd_messages_under_way", "Calls that wait for an answer")
        self._apart = metrics.gauge("cloudd_messages_apart", "Messages set aside, and given up", ("where",))

    def sent(self, way: str, how: str) -> None:
        """``how``: ``taken``, ``answered``, or the name of an error's class."""
        self._sent.labels(way, how).inc()

    def served(self, topic: str, how: str) -> None:
        """``done``, ``fault``, ``failed``, ``again``, ``late``, ``apart``, ``twice``, ``interrupted``, ``unknown``."""
        self._served.labels(topic, how).inc()

    def answered(self, topic: str, seconds: float, under_way: int) -> None:
        """A call has ended."""
        self._seconds.labels(topic).observe(seconds)
        self._under_way.set(under_way)

    def apart(self, parked: int, dead: int) -> None:
        """As of now."""
        self._apart.labels("parked").set(parked)
        self._apart.labels("dead").set(dead)
