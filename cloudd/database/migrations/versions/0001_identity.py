"""
Identity: domains, projects, users, roles, assignments, credentials, revocations.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(64)
COUNTED = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def id_column(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, ID, nullable=nullable)


def name_column(length: int) -> sa.Column[str]:
    return sa.Column("name", sa.String(length), nullable=False)


def description() -> sa.Column[str]:
    return sa.Column("description", sa.Text, nullable=False, server_default="")


def enabled() -> sa.Column[bool]:
    return sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true())


def created() -> sa.Column[int]:
    return sa.Column("created_us", sa.BigInteger, nullable=False)


def primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def foreign(table: str, column: str, target: str, ondelete: str | None = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}", ondelete=ondelete)


def index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def upgrade() -> None:
    create_owners()
    create_roles()
    create_assignments()
    create_credentials()
    create_revocations()


def create_owners() -> None:
    table = "identity_domain"
    op.create_table(
        table, id_column("id"), name_column(255), description(), enabled(), created(),
        primary(table, "id"), unique(table, "name"),
    )  # fmt: skip
    table = "identity_project"
    op.create_table(
        table, id_column("id"), id_column("domain_id"), id_column("parent_id", nullable=True), name_column(64),
        description(), enabled(), created(), primary(table, "id"), unique(table, "domain_id", "name"),
        foreign(table, "domain_id", "identity_domain", None), foreign(table, "parent_id", table, None),
    )  # fmt: skip
    index(table, "parent_id")
    table = "identity_user"
    op.create_table(
        table, id_column("id"), id_column("domain_id"), name_column(255), description(),
        sa.Column("email", sa.String(255), nullable=True), id_column("default_project_id", nullable=True), enabled(),
        sa.Column("password_hash", sa.Text, nullable=True), created(), primary(table, "id"),
        unique(table, "domain_id", "name"), foreign(table, "domain_id", "identity_domain", None),
    )  # fmt: skip


def create_roles() -> None:
    table = "identity_role"
    op.create_table(
        table, id_column("id"), name_column(255), description(), created(), primary(table, "id"), unique(table, "name")
    )
    table = "identity_implied_role"
    op.create_table(
        table, id_column("prior_id"), id_column("implied_id"), primary(table, "prior_id", "implied_id"),
        foreign(table, "prior_id", "identity_role"), foreign(table, "implied_id", "identity_role"),
        sa.CheckConstraint("prior_id <> implied_id", name=f"ck_{table}_not_itself"),
    )  # fmt: skip


def create_assignments() -> None:
    for target in ("project", "domain"):
        table, key = f"identity_{target}_role", f"{target}_id"
        op.create_table(
            table, id_column("user_id"), id_column(key), id_column("role_id"),
            primary(table, "user_id", key, "role_id"), foreign(table, "user_id", "identity_user"),
            foreign(table, key, f"identity_{target}"), foreign(table, "role_id", "identity_role"),
        )  # fmt: skip
        index(table, key)
        index(table, "role_id")


def create_credentials() -> None:
    table = "identity_application_credential"
    op.create_table(
        table, id_column("id"), id_column("user_id"), id_column("project_id"), name_column(255), description(),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("unrestricted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("expires_us", sa.BigInteger, nullable=True), created(), primary(table, "id"),
        unique(table, "user_id", "name"), foreign(table, "user_id", "identity_user"),
        foreign(table, "project_id", "identity_project"),
    )  # fmt: skip
    index(table, "project_id")
    table = "identity_application_credential_role"
    op.create_table(
        table, id_column("credential_id"), id_column("role_id"), primary(table, "credential_id", "role_id"),
        foreign(table, "credential_id", "identity_application_credential"), foreign(table, "role_id", "identity_role"),
    )  # fmt: skip
    index(table, "role_id")
    table = "identity_ec2_credential"
    op.create_table(
        table, id_column("access"), id_column("user_id"), id_column("project_id"),
        sa.Column("sealed_secret", sa.Text, nullable=False), created(), primary(table, "access"),
        foreign(table, "user_id", "identity_user"), foreign(table, "project_id", "identity_project"),
    )  # fmt: skip
    index(table, "user_id")
    index(table, "project_id")


def create_revocations() -> None:
    table = "identity_revocation"
    op.create_table(
        table, sa.Column("id", COUNTED, autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(160), nullable=False),
        sa.Column("issued_before_us", sa.BigInteger, nullable=False), created(), primary(table, "id"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    index(table, "subject", "issued_before_us")
    index(table, "created_us")
