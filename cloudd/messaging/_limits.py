"""How much is allowed to be under way."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Limits:
    """
    Bounds of one process; what would exceed them is refused (``Overloaded``), never piled up.

    :param calls: most calls that wait for an answer
    :param outgoing_bytes: most bytes of messages that the broker has not answered for
    :param parallel: most methods of one server that run at a time, and prefetch of each of its queues
    :param remembered: ids of messages that have come, by which a redelivery is known
    :param remembered_s: seconds for which they are
    :param attempts: how often a cast that fails is tried before it is set aside
    :param first_wait_s: before it is tried again; doubles each time
    :param longest_wait_s: never longer
    :param rest_s: how long what runs may take to end when a server rests
    :param queued: most messages of a topic that wait at the broker
    """

    calls: int = 1000
    outgoing_bytes: int = 8 * 1_048_576
    parallel: int = 64
    remembered: int = 20_000
    remembered_s: float = 600.0
    attempts: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    rest_s: float = 5.0
    queued: int = 100_000

    def wait_s(self, attempt: int, chance: float) -> float:
        """
        How long a cast waits after that attempt (from 1 on): between half of its longest wait and the whole.

        :param chance: from 0 to 1
        """
        longest_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 60))
        return longest_s * (0.5 + chance / 2)
