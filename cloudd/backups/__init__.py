"""
Backups of the control state as tasks: on time, or when an operator says so.

``cloudd.database`` writes one and puts it back; here is when, where to, and which are kept::

    backups = Backups(resources, node_id_of)
    tasks = Tasks(resources, [*backups.task_kinds(), ...])
    backups.lead()                       # the agent's, where [backup] every_s says so
    task_id = await backups.order()      # now

A backup lies on the node that has made it, so its task is that node's alone.
"""

from ._service import Backups

__all__ = ["Backups"]
