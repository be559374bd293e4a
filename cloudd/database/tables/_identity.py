"""Users, projects, roles and credentials."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from ._columns import COUNTED, enabled_column, id_column, metadata, reference

domain = Table(
    "identity_domain",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    enabled_column(),
    Column("created_us", BigInteger, nullable=False),
)

project = Table(
    "identity_project",
    metadata,
    id_column(),
    reference("domain_id", "identity_domain.id", ondelete=None),
    Column("parent_id", String(64), ForeignKey("identity_project.id"), nullable=True),  # null: the domain
    Column("name", String(64), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    enabled_column(),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
    Index(None, "parent_id"),
)

user = Table(
    "identity_user",
    metadata,
    id_column(),
    reference("domain_id", "identity_domain.id", ondelete=None),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("email", String(255), nullable=True),
    Column("default_project_id", String(64), nullable=True),  # may outlive its project, as in Keystone
    enabled_column(),
    Column("password_hash", Text, nullable=True),  # null: this user cannot log in by password
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

role = Table(
    "identity_role",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_us", BigInteger, nullable=False),
)

implied_role = Table(
    "identity_implied_role",
    metadata,
    reference("prior_id", "identity_role.id", key=True),
    reference("implied_id", "identity_role.id", key=True),
    CheckConstraint("prior_id <> implied_id", name="not_itself"),
)

project_role = Table(
    "identity_project_role",
    metadata,
    reference("user_id", "identity_user.id", key=True),
    reference("project_id", "identity_project.id", key=True),
    reference("role_id", "identity_role.id", key=True),
    Index(None, "project_id"),
    Index(None, "role_id"),
)

domain_role = Table(
    "identity_domain_role",
    metadata,
    reference("user_id", "identity_user.id", key=True),
    reference("domain_id", "identity_domain.id", key=True),
    reference("role_id", "identity_role.id", key=True),
    Index(None, "domain_id"),
    Index(None, "role_id"),
)

application_credential = Table(
    "identity_application_credential",
    metadata,
    id_column(),
    reference("user_id", "identity_user.id"),
    reference("project_id", "identity_project.id"),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("secret_hash", Text, nullable=False),
    Column("unrestricted", Boolean, nullable=False, server_default=false()),
    Column("expires_us", BigInteger, nullable=True),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("user_id", "name"),
    Index(None, "project_id"),
)

application_credential_role = Table(
    "identity_application_credential_role",
    metadata,
    reference("credential_id", "identity_application_credential.id", key=True),
    reference("role_id", "identity_role.id", key=True),
    Index(None, "role_id"),
)

ec2_credential = Table(
    "identity_ec2_credential",
    metadata,
    Column("access", String(64), primary_key=True),
    reference("user_id", "identity_user.id"),
    reference("project_id", "identity_project.id"),
    Column("sealed_secret", Text, nullable=False),  # encrypted with the keys in the state folder
    Column("created_us", BigInteger, nullable=False),
    Index(None, "user_id"),
    Index(None, "project_id"),
)

# What workers must forget, and which tokens are refused: see `cloudd.identity._revocation`.
revocation = Table(
    "identity_revocation",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=True),
    Column("subject", String(160), nullable=False),
    Column("issued_before_us", BigInteger, nullable=False),  # 0: refuses nothing, only empties caches
    Column("created_us", BigInteger, nullable=False),
    Index(None, "subject", "issued_before_us"),
    Index(None, "created_us"),
    sqlite_autoincrement=True,  # ids are never used again after a purge: readers resume by id
)
