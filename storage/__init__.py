"""
Objects on disks, behind one interface.

Readers meet ``IObjectStore`` first: accounts hold containers, containers hold objects, all by name, with metadata
that the store keeps but does not understand.  ``FileStore`` keeps one file per object on one node;
``MemoryStore`` is the verified fake that passes the same contract (``tests/contracts/object_store.py``).
This package knows nothing of HTTP, tenants or clouds and imports neither ``cloudd`` nor ``net`` nor ``reload``.
"""
