"""Machines of the cloud, and what they do for all."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, String, Table, Text

from ._columns import COUNTED, id_column, metadata

# The machines of the cloud: see `cloudd.nodes`.  Times are those of the database's own clock (`now_us`).
node = Table(
    "nodes",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False),  # of one node that is not removed: `cloudd.nodes` sees to it
    Column("roles", Text, nullable=False, server_default="[]"),  # a JSON list of words
    Column("address", String(255), nullable=False, server_default=""),  # where other nodes reach it, HOST:PORT
    Column("state", String(16), nullable=False),  # joining, ready, draining, drained, removed
    Column("state_us", BigInteger, nullable=False),  # since when
    Column("state_by", String(255), nullable=False, server_default=""),  # who wanted that
    Column("version", String(64), nullable=False, server_default=""),
    Column("code_hash", String(64), nullable=False, server_default=""),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("payloads", Text, nullable=False, server_default="{}"),  # JSON: kind -> versions that it reads
    Column("load", Text, nullable=False, server_default="{}"),  # JSON: what it said of itself last
    Column("beat_us", BigInteger, nullable=False, server_default="0"),  # how often it says something
    Column("contact_us", BigInteger, nullable=True),  # when it last did; null: never yet
    Column("certificate_us", BigInteger, nullable=True),  # when its certificate ends; null: it has none
    Column("created_us", BigInteger, nullable=False),
    CheckConstraint("state IN ('joining', 'ready', 'draining', 'drained', 'removed')", name="state"),
    Index(None, "name"),
    Index(None, "state", "contact_us"),
)

# What lets a machine join, once.  The secret is nowhere but with who was given it.
node_token = Table(
    "node_tokens",
    metadata,
    id_column(),
    Column("secret_hash", String(64), nullable=False),
    Column("roles", Text, nullable=False),
    Column("made_by", String(255), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger, nullable=True),
    Column("node_id", String(64), nullable=True),  # who used it
    Index(None, "expires_us"),
)

# What one node of the cloud does for all, and which: see `cloudd.nodes._leases`.
duty = Table(
    "duties",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(128), nullable=True),
    Column("node_id", String(64), nullable=True),
    Column("token", String(64), nullable=True),  # null: nobody has it
    Column("until_us", BigInteger, nullable=True),
    Column("term", BigInteger, nullable=False, server_default="0"),  # how often it went to somebody
    Column("since_us", BigInteger, nullable=True),
)

# The internal certificate authority; one row, id 1.
node_authority = Table(
    "node_authority",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=False),
    Column("certificate", Text, nullable=False),  # PEM
    Column("sealed_key", Text, nullable=False),  # encrypted with the keys in SECRETS/authority
    Column("created_us", BigInteger, nullable=False),
)

# What ran on the nodes before a rolling upgrade; one row for each.  While it is `open` there is a way back to it.
release = Table(
    "releases",
    metadata,
    id_column(),  # of the task that began it
    Column("new_hash", String(64), nullable=False),
    Column("tree", Text, nullable=False),
    Column("payloads", Text, nullable=False),  # JSON: kind -> versions that all of the earlier code reads
    Column("nodes", Text, nullable=False),  # JSON: node id -> hash of the code it had
    Column("state", String(8), nullable=False),  # open, final, back
    Column("state_us", BigInteger, nullable=False),
    Column("state_by", String(255), nullable=False, server_default=""),
    Column("created_us", BigInteger, nullable=False),
    CheckConstraint("state IN ('open', 'final', 'back')", name="state"),
    Index(None, "state"),
)
