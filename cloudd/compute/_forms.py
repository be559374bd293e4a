"""
Work on servers, for who orders it and for who does it: forms of tasks with their payloads.

``compute.place`` is done by whichever node schedules; all others by the node that has the server, so their tasks are
pinned to it.  ``request_id`` of a task is that of the action (``server_actions``) which it belongs to.
"""

from __future__ import annotations

from typing import Final

from cloudd.tasks import Form

PLACE: Final = Form(name="compute.place_servers")
"""``servers``: ids, made by one request.  ``avoid``: ids of nodes that have failed; ``tries``: how many times.

``cause``: why the last of them has failed, for the fault of a server that gets no other; ``told``: what its tenant may
know of that, and can do.  Both may be missing.
"""

BUILD: Final = Form(name="compute.build_server")
"""``server_id``; ``avoid`` and ``tries`` as they came from ``PLACE``.  The claim is there."""

DELETE: Final = Form(name="compute.delete_server")
"""``server_id``.  Of a server that is on no host nothing is done on one: whoever orders it writes that it is gone."""

POWER: Final = Form(name="compute.power_server")
"""``server_id``; ``verb``: start, stop, reboot, pause, unpause, suspend or resume; ``soft`` of a reboot."""

REBUILD: Final = Form(name="compute.rebuild_server")
"""``server_id``: the row has what it is to be, ``image_before`` what it was; ``state``: what it is to be afterwards."""

RESIZE: Final = Form(name="compute.resize_server")
"""``server_id``: the row has both flavors, and the claim ``resize`` is there; ``state``: what it was."""

CONFIRM_RESIZE: Final = Form(name="compute.confirm_resize")
"""``server_id``."""

REVERT_RESIZE: Final = Form(name="compute.revert_resize")
"""``server_id``."""

SNAPSHOT: Final = Form(name="compute.snapshot_server")
"""
``server_id``; ``image_id`` of the image, which is queued and gets the data; ``rotation`` of a backup: how many of its
kind are kept then, this one among them.
"""

ATTACH: Final = Form(name="compute.attach_interface")
"""``server_id``; ``port_id``: the port is the server's, and stands in ``server_interfaces``."""

DETACH: Final = Form(name="compute.detach_interface")
"""``server_id``; ``port_id``."""

CONSOLE: Final = Form(name="compute.read_console")
"""``server_id``; ``last_bytes``.  Its result: ``output``, text.  Whoever orders it waits for the end."""
