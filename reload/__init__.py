"""
Generations of code, and snapshots of state that outlive them.  Knows nothing of clouds.

A long-lived process loads the modules that may change as a *generation*, next to the one that is running, and drops
the old one when its last work has ended::

    boundaries = Boundaries(roots=("shop",), kernel=("shop.sockets",))
    tree = CodeTree.scan(Path("/srv/shop"), boundaries).stage(Path("/var/lib/shop/code"))
    generation = Generation(2, tree, boundaries)
    application = generation.load("shop.application").build()    # the module's name is "_g2.shop.application"
    ...
    old_generation.release()
    for _step in old_generation.free():    # each of about a millisecond; in a daemon in turns of the reactor
        pass
    assert not old_generation.living(), old_generation.holders()

- ``CodeTree``: the files of a tree by content; scanned, copied (``stage``), compared, listed (``manifest``).
- ``CodeOrigin``: code in a folder, a wheel or a virtual environment; ``Environment``: what is installed in the last.
- ``Generation``: one loaded copy of the swappable modules.
- ``Load``: a call in a thread of its own, which may be given up: for loading beside a reactor.
- ``Snapshot``, ``Converters``: versioned plain data, and the steps between versions.
- ``States``, ``Spoken``: what swappable code tells inside of such a snapshot, and what other code makes of it.
- ``OldProcess``, ``NewProcess``: hand established connections over to a process of other code; see
  ``docs/upgrades.md`` and ``docs/examples/counting_daemon.py``.

A process hands its established connections to another one, of other code, at the two ends of ``link_pair()``::

    old = OldProcess(reactor, Link(reactor, ours), Kinds({"line": 1}), movables, decide)      # an IMovable each
    old.start().addCallbacks(moved, thawed)
    new = NewProcess(reactor, Link(reactor, theirs), Kinds({"line": 2}, converters), adopter)  # an IAdopter
    new.start()

Scanning, staging and loading block: call them in a thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._boundaries import Boundaries
from ._collecting import QuietLoading, collect_loaded
from ._environment import Environment, environment_of, is_environment
from ._full_collections import FEW_OBJECTS, FullCollections, old_objects
from ._generation import Generation, GenerationReleased
from ._guard import PlainImportRefused, guard_plain_imports
from ._origin import CodeOrigin
from ._pacing import call_paced
from ._snapshot import BadSnapshot, ConversionFailed, Converters, NoConverter, NotPlainData, Snapshot, SnapshotError
from ._stage import prune_copies, remove_unfinished
from ._states import Spoken, States, UnknownKind
from ._tree import Changes, CodeTree, ManifestMismatch, TreeChanged, TreeError, compare, module_name, parse_manifest

if TYPE_CHECKING:
    from ._handover import (
        AdoptedConnection,
        Ending,
        HandoverError,
        HandoverFailed,
        HandoverLimits,
        IAdopted,
        IAdopter,
        IMovable,
        Incompatible,
        Inner,
        Kinds,
        Link,
        MovableConnection,
        NewProcess,
        NotMovable,
        Offer,
        OldProcess,
        Progress,
        Reason,
        adopt_transport,
        link_pair,
        listen_on,
        listening_socket,
        release_transport,
        unsent_output,
    )
    from ._loading import Load, LoadGivenUp

__all__ = [
    "FEW_OBJECTS",
    "AdoptedConnection",
    "BadSnapshot",
    "Boundaries",
    "Changes",
    "CodeOrigin",
    "CodeTree",
    "ConversionFailed",
    "Converters",
    "Ending",
    "Environment",
    "FullCollections",
    "Generation",
    "GenerationReleased",
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
    "Load",
    "LoadGivenUp",
    "ManifestMismatch",
    "MovableConnection",
    "NewProcess",
    "NoConverter",
    "NotMovable",
    "NotPlainData",
    "Offer",
    "OldProcess",
    "PlainImportRefused",
    "Progress",
    "QuietLoading",
    "Reason",
    "Snapshot",
    "SnapshotError",
    "Spoken",
    "States",
    "TreeChanged",
    "TreeError",
    "UnknownKind",
    "adopt_transport",
    "call_paced",
    "collect_loaded",
    "compare",
    "environment_of",
    "guard_plain_imports",
    "is_environment",
    "link_pair",
    "listen_on",
    "listening_socket",
    "module_name",
    "old_objects",
    "parse_manifest",
    "prune_copies",
    "release_transport",
    "remove_unfinished",
    "unsent_output",
]


def __getattr__(name: str) -> Any:
    """The names of the hand-over: most processes need none of them, and they import much of Twisted."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in {"Load", "LoadGivenUp"}:
        return getattr(import_module("._loading", __name__), name)
    return getattr(import_module("._handover", __name__), name)
