"""What can go wrong with a host's network."""

from __future__ import annotations


class NetError(Exception):
    """
    The host's network could not be brought to the plan.  What was done before stays; the next ``apply`` goes on there.

    :ivar cause: what happened
    :ivar next_step: what the operator can do
    """

    def __init__(self, cause: str, next_step: str) -> None:
        super().__init__(f"{cause}.  {next_step}.")
        self.cause = cause
        self.next_step = next_step


class BadPlan(NetError):
    """
    What is asked for cannot be made on any host.  Nothing was changed.

    :ivar field: which value is wrong, for example ``ports[4f..].mac``
    """

    def __init__(self, field: str, cause: str, next_step: str) -> None:
        super().__init__(f"{field}: {cause}", next_step)
        self.field = field
