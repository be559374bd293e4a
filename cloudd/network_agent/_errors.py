"""What whoever plugs a port is told."""

from __future__ import annotations


class PlugRefused(Exception):
    """
    A port cannot be plugged on this host; the others that were asked for with it may be.

    :ivar port_id: which
    :ivar cause: what is in the way
    :ivar next_step: what to do about it
    :ivar for_tenant: what its project may know of that, and can do; empty: it can do nothing
    """

    def __init__(self, port_id: str, cause: str, next_step: str, for_tenant: str = "") -> None:
        super().__init__(f"port {port_id}: {cause}.  {next_step}.")
        self.port_id = port_id
        self.cause = cause
        self.next_step = next_step
        self.for_tenant = for_tenant


def not_here(port_id: str) -> PlugRefused:
    """Its record says something else."""
    return PlugRefused(
        port_id, "it is not bound to this host by a device", "Set its device_id and host before it is plugged"
    )
