"""Metrics of a worker that are asked for when they are collected, and cost nothing before."""

from __future__ import annotations

from collections.abc import Mapping

from cloudd.protocols.http import HTTPServerFactory

from ._access_log import AccessLog
from ._generations import Generations
from ._metrics import WorkerMetrics
from ._threads import WorkerThreads


def add_worker_gauges(
    metrics: WorkerMetrics,
    factories: Mapping[str, HTTPServerFactory],
    generations: Generations,
    threads: WorkerThreads,
    access_log: AccessLog,
) -> None:
    """
    :param factories: by face; filled when the worker accepts
    """
    metrics.gauge_callback(
        "cloudd_connections",
        "Open client connections, by the generation that answers on them, or would",
        ("face", "generation"),
        lambda: [
            ((face, str(number)), count)
            for face, factory in factories.items()
            for number, count in connections_by_generation(factory, generations).items()
        ],
    )
    metrics.counter_callback(
        "cloudd_accepted_connections",
        "Client connections accepted",
        ("face",),
        lambda: [((face,), factory.accepted) for face, factory in factories.items()],
    )
    metrics.counter_callback(
        "cloudd_refused_heads",
        "Bytes that were no request, by the status they were answered with",
        ("face", "status"),
        lambda: [
            ((face, str(status)), count)
            for face, factory in factories.items()
            for status, count in factory.refused.items()
        ],
    )
    metrics.gauge_callback(
        "cloudd_requests_running",
        "Requests in flight by generation",
        ("generation",),
        lambda: [((str(row["number"]),), row["requests_running"]) for row in generations.status({})],
    )
    metrics.gauge_callback(
        "cloudd_generation",
        "Generation that answers new requests",
        (),
        lambda: [((), generations.current.number if generations.current else 0)],
    )
    metrics.gauge_callback("cloudd_thread_backlog", "Calls waiting for a thread", (), lambda: [((), threads.backlog())])
    metrics.gauge_callback(
        "cloudd_access_lines_dropped",
        "Access lines lost to a slow disk",
        (),
        lambda: [((), access_log.dropped)],
    )


def connections_by_generation(factory: HTTPServerFactory, generations: Generations) -> dict[int, int]:
    """
    How many connections of a face have a request in each generation; idle ones count for the one that would answer.

    With one generation alive, as it is nearly always, nothing is gone through.
    """
    current = generations.current.number if generations.current is not None else 0
    trial = generations.trial
    if not generations.retired and trial is None:
        return {current: len(factory.connections)}
    counts = {current: 0}
    for connection in factory.connections:
        request = connection.request
        number = request.generation if request is not None else 0
        if not number:
            in_canary = trial is not None and connection.lot >= 0 and trial.takes(connection.lot)
            number = trial.running.number if trial is not None and in_canary else current
        counts[number] = counts.get(number, 0) + 1
    return counts
