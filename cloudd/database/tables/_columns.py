"""What all tables share: their registry, and columns that many have."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, MetaData, String, true

#: Of ids that count up: SQLite counts in 64 bits only where it is told INTEGER, PostgreSQL would count in 32.
COUNTED = BigInteger().with_variant(Integer, "sqlite")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

CASCADE = "CASCADE"


def id_column() -> Column[str]:
    """The key of a table of things with ids."""
    return Column("id", String(64), primary_key=True)


def reference(name: str, target: str, *, key: bool = False, ondelete: str | None = CASCADE) -> Column[str]:
    """An id of another table, ``TABLE.COLUMN``; what refers goes with what it refers to."""
    return Column(name, String(64), ForeignKey(target, ondelete=ondelete), primary_key=key, nullable=False)


def enabled_column() -> Column[bool]:
    """Whether it may be used."""
    return Column("enabled", Boolean, nullable=False, server_default=true())
