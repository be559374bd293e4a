# -*- test-case-name: tests.database.test_url -*-
"""Where a database server is and how one gets in; without any driver, so that settings can be checked by it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from attrs import frozen

SCHEME = "postgresql://"


class BadDatabaseURL(ValueError):
    """Not the URL of a database that cloudd can use."""


@frozen
class Server:
    """
    A PostgreSQL server, or several of which one is the primary.

    :param url: libpq's connection URI, ``postgresql://user@host1:5432,host2/name?option=value``; never with a password
    :param password_file: path of a file that holds the password; empty: libpq looks in ``PGPASSWORD``, ``~/.pgpass``
    """

    url: str
    password_file: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        parts = urlsplit(self.url)
        hosts = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", ["localhost"]))
        return f"PostgreSQL at {hosts}, database {parts.path.strip('/') or '(that of the user)'}"

    def password(self) -> str | None:
        """
        What the file holds, without the line's end; ``None``: there is no file.

        :raises OSError: it cannot be read
        """
        if not self.password_file:
            return None
        return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")


def check_url(url: str) -> None:
    """
    :raises BadDatabaseURL: it cannot be used; the text does not repeat it, since it may hold a password
    """
    if not url.startswith(SCHEME):
        raise BadDatabaseURL(f"it does not begin with {SCHEME}")
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    query = parse_qs(parts.query, keep_blank_values=True)
    if ":" in user or "password" in query:
        raise BadDatabaseURL("it holds a password, which would be shown where settings are shown")
    if not user and "user" not in query:
        raise BadDatabaseURL("it names no user")
    if not parts.path.strip("/") and "dbname" not in query:
        raise BadDatabaseURL("it names no database")
