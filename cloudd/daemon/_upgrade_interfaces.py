"""What an upgrade asks of others: of all workers, of a hand-over, of the TLS front."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from reload import CodeTree

from ._canary import Asked
from ._workers import Decided


class Workers(Asked, Protocol):
    """All worker processes of the host.  Each call reaches every worker that runs; they work at the same time."""

    async def check_apart(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree in a process that serves nobody, and let it check itself.

        :raises Exception: it could not, ended, or did not get ready; the text has the cause
        """

    async def prepare(self, generation: int, tree: CodeTree) -> None:
        """
        Load a staged tree as a new generation and let it check itself; requests stay where they are.

        :raises Exception: a worker could not, or ended meanwhile; the text names the worker and the cause
        """

    async def prepare_late(self, generation: int, tree: CodeTree) -> None:
        """The same in workers that were started since, so that a commit does not have to end them."""

    async def commit(self, generation: int) -> Sequence[str]:
        """
        From now on new requests go to the prepared generation; older ones end where they began.

        :return: names of workers that did not confirm; the provider ends them, and what it starts in their place
            boots ``Upgrades.current``
        """

    async def abort(self, generation: int) -> None:
        """Drop a prepared generation, in a canary or not; a worker that has none of that number does nothing."""

    async def highest_generation(self) -> int:
        """The highest number of a generation that any of them has ever had."""

    async def survey(self) -> Mapping[str, int]:
        """Why connections could not move to other processes at this moment -> how many."""

    async def trees_in_use(self) -> Collection[str]:
        """Hashes of all trees of which a worker may have a generation, also one that ends."""


class Front(Protocol):
    """What an upgrade asks of the TLS front."""

    def plan(self, tree: CodeTree) -> list[str]:
        """What this tree would mean for connections over TLS, if anything."""

    async def follow(self, tree: CodeTree) -> list[str]:
        """This code was committed: run what it has for a front.  Gives warnings."""

    def hashes_in_use(self) -> Collection[str]:
        """Copies from which a front may have to be started again."""


class HandOver(Protocol):
    """One hand-over to workers of other code; see ``_incoming``."""

    longest_pause_s: float

    async def boot(self) -> None:
        """:raises SwapFailed: the new code cannot be started"""

    async def rehearse(self) -> None:
        """:raises SwapFailed: the old and the new workers cannot exchange connections"""

    async def abort(self, cause: str) -> None:
        """Nothing was decided: end the new workers."""

    async def commit(self) -> Sequence[str]:
        """It is decided: all change.  Gives warnings, raises nothing."""

    def moved_and_later(self) -> tuple[int, dict[str, int]]:
        """Connections that moved at once; why others follow -> how many."""

    async def supervise(self, window_s: float) -> str:
        """Watch the new workers so long; gives why everything has to go back, empty: they do well."""

    def ask_back(self, cause: str) -> bool:
        """End the supervision by a hand-back; false: it is not the time for that."""

    async def hand_back(self, cause: str) -> Sequence[str]:
        """The old workers serve again.  Gives warnings, raises nothing."""

    def settle(self) -> None:
        """Nothing goes back any more."""


StartHandOver = Callable[[Decided, Callable[[str, str, int, int], None]], HandOver]
