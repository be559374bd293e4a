"""
What benches of upgrades have for clients: each kind runs in a process of its own, in one epoll loop, without threads.

``Client.start(run, *config)`` forks one.  It opens its connections, says ``ready``, works until it gets the order
``finish``, and gives one result.  No client opens a connection a second time unless it is told to (``reconnect``): what
is lost stays lost and is counted.  All times are of ``time.monotonic()``, which all processes of a machine share.
"""

from ._figures import Latencies, Window, pauses, quantile, summary
from ._process import Client
from ._requests import RequestLoad, RequestResult, Target, run_requests
from ._sockets import source_address
from ._streams import StreamLoad, StreamResult, run_streams
from ._ticker import Tick, run_ticker
from ._transfers import TransferLoad, TransferResult, run_transfers

__all__ = [
    "Client",
    "Latencies",
    "RequestLoad",
    "RequestResult",
    "StreamLoad",
    "StreamResult",
    "Target",
    "Tick",
    "TransferLoad",
    "TransferResult",
    "Window",
    "pauses",
    "quantile",
    "run_requests",
    "run_streams",
    "run_ticker",
    "run_transfers",
    "source_address",
    "summary",
]
