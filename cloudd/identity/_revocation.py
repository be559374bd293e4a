# -*- test-case-name: tests.identity.test_revocation -*-
"""
What must be forgotten, and which tokens are refused: one row per event, written with the change it follows from.

A row names a **subject**, such as ``user:<id>``.  Whatever is cached about it is dropped by every worker when it next
reads the table.  A row that refuses ends all earlier tokens of the subject for good; with ``issued_before_us`` 0 it
refuses nothing (a role was assigned: look again).

**What is earlier** is told by the row's id: a token carries the newest id that was visible when it was issued
(``TokenFacts.seen``), so a log-in that read the old password just before the new one was committed is refused,
whatever the clocks say.  After a restored backup ids begin lower again; then the time of issue tells, with some
allowance for clocks that differ.

Rows are read in the order of their ids.  That is the order of commits, since one transaction writes at a time, in the
whole cloud (``cloudd.database._postgres``).
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from sqlalchemy import Connection, delete, func, insert, or_, select

from cloudd.database.tables import revocation

from ._tokens import TokenFacts
from ._values import Access


def user(user_id: str) -> str:
    return f"user:{user_id}"


def project(project_id: str) -> str:
    return f"project:{project_id}"


def domain(domain_id: str) -> str:
    """Users of the domain, and tokens scoped to it or to a project in it."""
    return f"domain:{domain_id}"


def user_in_scope(user_id: str, scope_id: str) -> str:
    """Tokens of one user for one project or domain."""
    return f"user:{user_id}/{scope_id}"


def application_credential(credential_id: str) -> str:
    return f"credential:{credential_id}"


def ec2(access_key: str) -> str:
    return f"ec2:{access_key}"


def token(audit_id: str) -> str:
    """One token."""
    return f"token:{audit_id}"


def chain(audit_id: str) -> str:
    """A token and all that were got with it, by the audit id of the first."""
    return f"chain:{audit_id}"


# Nodes' clocks may be minutes apart. With less, who logs in through a node that is behind, soon after a password was
# changed through another, would get tokens that are refused at once. It is only restored ids that this weakens.
SKEW_US = 900_000_000

EVERYBODY = "everybody"
"""All tokens; as an event with 0: roles themselves changed."""


def subjects_of(facts: TokenFacts, domain_ids: Iterable[str]) -> frozenset[str]:
    """
    Every subject under which a token can be revoked.

    :param domain_ids: those of the user, of the project, and the one in scope
    """
    subjects = {EVERYBODY, user(facts.user_id), token(facts.audit_ids[0]), chain(facts.audit_ids[-1])}
    subjects.update(domain(domain_id) for domain_id in domain_ids)
    if facts.project_id:
        subjects.add(project(facts.project_id))
    if scope_id := facts.project_id or facts.domain_id:
        subjects.add(user_in_scope(facts.user_id, scope_id))
    if facts.application_credential_id:
        subjects.add(application_credential(facts.application_credential_id))
    if facts.ec2_access:
        subjects.add(ec2(facts.ec2_access))
    return frozenset(subjects)


def may_concern(subjects: Set[str], access: Access) -> bool:
    """
    Whether events about ``subjects`` may concern what was verified as ``access``; never false where they do.

    For who keeps an ``Access`` and not the token's facts, which alone say by which EC2 key a token was got.
    """
    mine = {EVERYBODY, user(access.user_id), domain(access.user_domain_id)}
    mine.update(domain(one) for one in (access.project_domain_id, access.domain_id) if one)
    if access.audit_ids:
        mine |= {token(access.audit_ids[0]), chain(access.audit_ids[-1])}
    if access.project_id:
        mine.add(project(access.project_id))
    if scope_id := access.project_id or access.domain_id:
        mine.add(user_in_scope(access.user_id, scope_id))
    if access.application_credential_id:
        mine.add(application_credential(access.application_credential_id))
    return not mine.isdisjoint(subjects) or any(subject.startswith("ec2:") for subject in subjects)


def record(connection: Connection, now_us: int, *, refuse: Iterable[str] = (), forget: Iterable[str] = ()) -> None:
    """
    Write the events of a change; call it in the transaction of that change.

    :param refuse: subjects whose tokens of until now are no longer valid
    :param forget: subjects that are only to be looked at again
    """
    rows = [{"subject": subject, "issued_before_us": now_us, "created_us": now_us} for subject in refuse]
    rows += [{"subject": subject, "issued_before_us": 0, "created_us": now_us} for subject in forget]
    if rows:
        connection.execute(insert(revocation), rows)


def is_refused(connection: Connection, subjects: Iterable[str], facts: TokenFacts) -> bool:
    """Whether a token with these subjects was revoked since it was issued."""
    event = revocation.c
    later = or_(event.id > facts.seen, event.issued_before_us > facts.issued_at + SKEW_US)
    found = select(event.id).where(event.subject.in_(list(subjects)), event.issued_before_us > 0, later).limit(1)
    return connection.execute(found).first() is not None


def position(connection: Connection) -> int:
    """The newest event in this snapshot; 0 when there was never one."""
    newest: int | None = connection.execute(select(func.max(revocation.c.id))).scalar()
    return newest or 0


def since(connection: Connection, after: int) -> tuple[int, frozenset[str]]:
    """The newest event, and the subjects of all events after ``after``."""
    rows = connection.execute(select(revocation.c.id, revocation.c.subject).where(revocation.c.id > after)).all()
    return max((row.id for row in rows), default=after), frozenset(row.subject for row in rows)


def purge(connection: Connection, before_us: int) -> int:
    """
    Delete events older than any token can be; how many there were.

    The newest event stays, whatever its age: readers know by it how far they have read.
    """
    old = delete(revocation).where(revocation.c.created_us < before_us, revocation.c.id < position(connection))
    return connection.execute(old).rowcount
