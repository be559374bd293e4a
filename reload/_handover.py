"""The public names of the hand-over, in one module; ``reload`` imports it when the first of them is asked for."""

from ._handover_exchange import Progress
from ._handover_interfaces import (
    HandoverError,
    IAdopted,
    IAdopter,
    IMovable,
    Incompatible,
    NotMovable,
    Offer,
    Reason,
)
from ._handover_kinds import Inner, Kinds
from ._handover_link import Link, link_pair
from ._handover_new import NewProcess
from ._handover_old import OldProcess
from ._handover_side import Ending, HandoverFailed, HandoverLimits
from ._handover_sockets import (
    AdoptedConnection,
    MovableConnection,
    adopt_transport,
    listen_on,
    listening_socket,
    release_transport,
    unsent_output,
)

__all__ = [
    "AdoptedConnection",
    "Ending",
    "HandoverError",
    "HandoverFailed",
    "HandoverLimits",
    "IAdopted",
    "IAdopter",
    "IMovable",
    "Incompatible",
    "Inner",
    "Kinds",
    "Link",
    "MovableConnection",
    "NewProcess",
    "NotMovable",
    "Offer",
    "OldProcess",
    "Progress",
    "Reason",
    "adopt_transport",
    "link_pair",
    "listen_on",
    "listening_socket",
    "release_transport",
    "unsent_output",
]
