"""What the control socket says of where servers would run, in version 1; see ``_messages``."""

from __future__ import annotations

from ._messages import Message


class ScheduleRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where would so many servers run, if they were made now?  Nothing is written.

    ``flavor`` and ``image``: id or name; an empty ``image``, ``zone``, ``host``, ``project_id`` or ``group``: any or
    none.  ``same_host`` and ``different_host``: ids of servers.  ``limit``: of how many hosts the answer tells.
    """

    flavor: str
    image: str = ""
    zone: str = ""
    host: str = ""
    project_id: str = ""
    group: str = ""
    same_host: list[str] = []
    different_host: list[str] = []
    count: int = 1
    limit: int = 100


class ScheduleHost(Message, frozen=True, kw_only=True):
    """
    What one host would be to them.

    ``filter`` is the first that takes it out, and ``cause`` why; of one that passes both are empty, ``weight`` is the
    sum of ``weights`` and ``servers`` how many it would get.
    """

    name: str
    zone: str
    free_vcpus: int
    free_memory_mib: int
    free_disk_gib: int
    filter: str = ""
    cause: str = ""
    weight: float = 0.0
    weights: dict[str, float] = {}
    servers: int = 0


class ScheduleNeed(Message, frozen=True, kw_only=True):
    """What one server takes of its host."""

    vcpus: int
    memory_mib: int
    disk_gib: int


class Schedule(Message, frozen=True, kw_only=True):
    """
    Of ``total`` hosts ``passing`` pass all filters; ``removed`` tells how many each took, of those before.

    ``placed`` of ``servers`` would get a host; ``cause`` is what a tenant would read of the others.  ``weighers`` are
    those that are asked, with what each counts.  ``hosts``: those with servers, then the best, then who is taken out.
    """

    need: ScheduleNeed
    servers: int
    placed: int
    total: int
    passing: int
    cause: str = ""
    removed: dict[str, int] = {}
    weighers: dict[str, float] = {}
    hosts: list[ScheduleHost] = []
