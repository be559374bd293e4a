"""What a worker process is told when it is forked."""

from __future__ import annotations

from typing import Any

import msgspec

ROLES = ("prepare", "check", "front", "agent", "all")


class WorkerSpec(msgspec.Struct, kw_only=True):
    """
    One worker process.

    :param name: for logs and status, for example ``front-1``
    :param role: ``front`` answers requests, ``agent`` does upkeep, ``all`` both, ``prepare`` runs once before them,
        ``check`` loads code that may be bad, lets it check itself, and ends
    :param generation: number of the generation to boot
    :param tree_hash: the staged copy it loads from
    :param check: the application checks itself in the ``prepare`` role too: nothing has shown yet that it works
    :param standby: it waits, checked and ready, until a hand-over gives it the connections of another worker
    :param settings: as ``settings_to_plain`` gives them
    :param urls: face -> base URL
    :param faces: the faces in the order of the listening descriptors that come with this
    """

    name: str
    role: str
    generation: int
    tree_hash: str
    settings: dict[str, Any]
    urls: dict[str, str]
    faces: list[str]
    check: bool = False
    standby: bool = False

    @property
    def serves_at_once(self) -> bool:
        """Whether it is wanted as soon as it has booted."""
        return not self.standby

    @property
    def serves(self) -> bool:
        """Whether it accepts connections."""
        return self.role in {"front", "all"}

    @property
    def database_readers(self) -> int:
        """How many reads of one database may run at one time: upkeep is in no hurry."""
        return 4 if self.serves else 1
