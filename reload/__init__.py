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
    gc.collect()
    assert not old_generation.living(), old_generation.holders()

- ``CodeTree``: the files of a tree by content; scanned, copied (``stage``), compared, listed (``manifest``).
- ``Generation``: one loaded copy of the swappable modules.
- ``Snapshot``, ``Converters``: versioned plain data, and the steps between versions.

Scanning, staging and loading block: call them in a thread.
"""

from ._boundaries import Boundaries
from ._generation import Generation, GenerationReleased
from ._guard import PlainImportRefused, guard_plain_imports
from ._snapshot import BadSnapshot, ConversionFailed, Converters, NoConverter, NotPlainData, Snapshot, SnapshotError
from ._stage import prune_copies
from ._tree import Changes, CodeTree, ManifestMismatch, TreeChanged, TreeError, compare, module_name, parse_manifest

__all__ = [
    "BadSnapshot",
    "Boundaries",
    "Changes",
    "CodeTree",
    "ConversionFailed",
    "Converters",
    "Generation",
    "GenerationReleased",
    "ManifestMismatch",
    "NoConverter",
    "NotPlainData",
    "PlainImportRefused",
    "Snapshot",
    "SnapshotError",
    "TreeChanged",
    "TreeError",
    "compare",
    "guard_plain_imports",
    "module_name",
    "parse_manifest",
    "prune_copies",
]
