"""
Changing the code of a whole cloud, node by node: upgrade, way back, and the end of the way back.

A rolling change is a task (``cloudd.tasks``): any node can lead it, and when that one is upgraded or killed another
goes on.  It orders each node to change (``cloudd.interfaces.orders``) and looks whether it is well, before the next::

    rolling = Rolling(resources, orders, live)
    tasks = Tasks(resources, [*rolling.task_kinds(), ...])
    calls = rolling.calls(show, tasks.poke)            # what operators ask: rolling.plan, rolling.upgrade, ...

``_plan`` decides whether it can begin, ``_progress`` and ``_drive`` what is next, ``_gate`` whether a node is well,
``_finalize`` when there is no way back any more.  ``docs/upgrades.md`` tells operators.
"""

from ._errors import RollingError
from ._plan import RollingPlan, Survey, examine
from ._progress import NodeProgress, Rollout
from ._service import Rolling

__all__ = ["NodeProgress", "Rolling", "RollingError", "RollingPlan", "Rollout", "Survey", "examine"]
