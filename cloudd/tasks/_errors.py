"""What can be wrong with a task."""

from __future__ import annotations


class TaskError(Exception):
    """Base of these errors; ``cause`` is a sentence for operators."""

    expected = True  # no traceback in the log of a link

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class TaskFailed(TaskError):
    """Raised by a step: trying again would not help."""


class NoSuchTask(TaskError):
    """There is no task of that id, or it was forgotten: those that are done are kept for ``[tasks] keep_s``."""


class WrongState(TaskError):
    """The task is not in a state in which this can be done."""


class LeaseLost(TaskError):
    """
    The task is another runner's now, or nobody's: nothing was written.

    A step need not catch it.  Whatever it does after it, the engine takes no more notice of this attempt.
    """


class Interrupted(TaskError):
    """
    What a step has saved is kept, and it ends here: this runner stops, and another one goes on with the task at once.

    Somebody may also have cancelled the task.  A step need not catch it.
    """
