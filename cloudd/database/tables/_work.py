"""Tasks."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, String, Table, Text

from ._columns import id_column, metadata

# Work that outlives its process: see `cloudd.tasks`.  Times are those of the database's own clock (`now_us`).
task = Table(
    "tasks",
    metadata,
    id_column(),
    Column("kind", String(64), nullable=False),
    Column("version", Integer, nullable=False),  # of the payload
    Column("payload", Text, nullable=False),  # a JSON object
    Column("project_id", String(64), nullable=True),  # whose work it is; may outlive its project
    Column("node_id", String(64), nullable=True),  # of the one node that can do it; null: any can
    Column("resource", String(512), nullable=False, server_default=""),  # what it is done to, in words of its kind
    Column("request_id", String(64), nullable=False, server_default=""),  # of the request that asked for it
    Column("state", String(8), nullable=False),  # queued, running, done, failed
    Column("step", String(64), nullable=False, server_default=""),  # empty: the first
    Column("step_version", Integer, nullable=True),  # of the step's state; null: it has none yet
    Column("step_state", Text, nullable=True),  # a JSON object
    Column("progress", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, nullable=False, server_default="0"),  # 0: not known
    Column("attempts", Integer, nullable=False, server_default="0"),  # since it last got on
    # Queued: not before this time.  Running: when the lease ends.  Null when there is nothing more to do.  So whoever
    # looks for work asks for one thing: what is due.
    Column("due_us", BigInteger, nullable=True),
    Column("lease_owner", String(128), nullable=True),
    Column("lease_token", String(64), nullable=True),
    Column("deadline_us", BigInteger, nullable=True),
    Column("run_us", BigInteger, nullable=True),  # from its first claim to its deadline
    Column("cancel_cause", Text, nullable=True),  # somebody wants it to end
    Column("cause", Text, nullable=False, server_default=""),  # why the last attempt failed, or the task
    Column("result", Text, nullable=True),  # a JSON object, of a task that is done
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="state"),
    Index(None, "due_us"),
    Index(None, "state", "updated_us"),
    Index(None, "created_us"),
    Index(None, "resource"),
    Index(None, "node_id"),
)
