"""Where a database server is: what is refused, and how it is called."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.database import BadDatabaseURL, Server, check_url


class URLTests(SynchronousTestCase):
    def test_good(self) -> None:
        for url in (
            "postgresql://cloudd@db1/cloud",
            "postgresql://cloudd@db1:5432,db2:5433/cloud?target_session_attrs=primary",
            "postgresql:///cloud?host=/run/postgresql&user=cloudd",
        ):
            check_url(url)

    def test_refused(self) -> None:
        """Each says what is wrong, and none repeats the URL, which may hold a password."""
        for url, cause in (
            ("mysql://cloudd@db/cloud", "begin with"),
            ("cloud.sqlite", "begin with"),
            ("postgresql://cloudd:secret@db/cloud", "password"),
            ("postgresql://cloudd@db/cloud?password=secret", "password"),
            ("postgresql://db/cloud", "names no user"),
            ("postgresql://cloudd@db", "names no database"),
        ):
            error = self.assertRaises(BadDatabaseURL, check_url, url)
            self.assertIn(cause, str(error))
            self.assertNotIn("secret", str(error))

    def test_name(self) -> None:
        """Hosts and database, without the user."""
        self.assertEqual(Server("postgresql://u@db1,db2:5433/cloud").name, "PostgreSQL at db1,db2:5433, database cloud")
        self.assertEqual(
            Server("postgresql:///cloud?host=/run/postgresql&user=u").name,
            "PostgreSQL at /run/postgresql, database cloud",
        )

    def test_password(self) -> None:
        """The file's line, with the blanks that are in it."""
        self.assertIsNone(Server("postgresql://u@db/cloud").password())
        file = Path(self.mktemp())
        file.write_text(" say friend\n")
        self.assertEqual(Server("postgresql://u@db/cloud", str(file)).password(), " say friend")
