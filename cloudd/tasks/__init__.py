"""
Tasks: work that outlives the process that does it.

A service makes kinds, and whoever changes something that means long work writes a task in the same transaction::

    PURGE = Form(name="objects.purge_container")          # for who submits: name and versions of its rows

    async def empty(task: Task) -> Fields | None:          # a step: safe to begin again from what it saved last
        while names := await page(task.payload, after=task.state.get("last", "")):
            await store.delete_objects(..., names)
            await task.save({"last": names[-1]}, progress=task.progress + len(names))
        return {"deleted": task.progress}

    kind = Kind(form=PURGE, steps=(Step("empty", empty),), permanent=(InvalidName,))

    def change(connection: Connection) -> None:            # for Transactions.write
        ...
        submit(connection, PURGE, {"account": "AUTH_x", "container": "photos"}, project_id="x")

    tasks = Tasks(resources, [kind])                       # in each worker; the agent's runs them
    tasks.start({})
    tasks.lead()                                           # when this generation was decided for; see there

Every accepted task has one outcome, whatever is killed: ``done`` with a result, or ``failed`` with a cause.  Steps may
be begun more than once and must be idempotent; what they write to the control database is written at most once, since
``task.write`` holds the lease in the same transaction.  ``docs/tasks.md`` tells operators and authors of kinds more.

This package knows no service.
"""

from ._called_off import call_off_all, called_off, called_off_before
from ._errors import Interrupted, LeaseLost, NoSuchTask, TaskError, TaskFailed, WrongState
from ._execution import Ended
from ._kind import UNDO, Fields, Form, Kind, Retry, Step, StepFunction
from ._open import open_payloads
from ._operators import call_off
from ._rows import LATE, submit, submit_on_each_node
from ._runner import Runner, by_name
from ._service import Tasks
from ._task import Task
from ._waiting import wait_for_end

__all__ = [
    "LATE",
    "UNDO",
    "Ended",
    "Fields",
    "Form",
    "Interrupted",
    "Kind",
    "LeaseLost",
    "NoSuchTask",
    "Retry",
    "Runner",
    "Step",
    "StepFunction",
    "Task",
    "TaskError",
    "TaskFailed",
    "Tasks",
    "WrongState",
    "by_name",
    "call_off",
    "call_off_all",
    "called_off",
    "called_off_before",
    "open_payloads",
    "submit",
    "submit_on_each_node",
    "wait_for_end",
]
