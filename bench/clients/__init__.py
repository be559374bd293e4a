"""
What benches of upgrades have for clients: each kind runs in a process of its own, in one epoll loop, without threads.

``Client.start(run, *config)`` forks one.  It opens its connections, says ``ready``, works until it gets the order
``finish``, and gives one result.  No client opens a connection a second time unless it is told to (``reconnect``): what
is lost stays lost and is counted.  All times are of ``time.monotonic()``, which all processes of a machine share.
"""

from ._figures import SETTLE_S, Latencies, Window, pauses, quantile, summary
from ._process import Client, Clients
from ._requests import RequestLoad, RequestResult, Target, get, run_requests
from ._sockets import source_address
from ._streams import StreamLoad, StreamResult, run_streams
from ._tables import requests_table, stream_errors, stream_pauses, streams_table
from ._ticker import Tick, run_ticker
from ._transfers import TransferLoad, TransferResult, content, run_transfers

__all__ = [
    "SETTLE_S",
    "Client",
    "Clients",
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
    "content",
    "get",
    "pauses",
    "quantile",
    "requests_table",
    "run_requests",
    "run_streams",
    "run_ticker",
    "run_transfers",
    "source_address",
    "stream_errors",
    "stream_pauses",
    "streams_table",
    "summary",
]
