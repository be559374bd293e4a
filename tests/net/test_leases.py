"""Leases of ports that are gone."""

from twisted.trial.unittest import SynchronousTestCase

from net._leases import Former, former_of, without

OLD = "fa:16:3e:00:00:05,tag:cld5,10.0.0.5,web,1h\nfa:16:3e:00:00:06,tag:cld6,[2001:db8::6],1h\n"
NEW = "fa:16:3e:00:00:07,tag:cld7,10.0.0.5,web,1h\nfa:16:3e:00:00:08,tag:cld8,1h\n"
LEASES = """\
1 fa:16:3e:00:00:05 10.0.0.5 web *
1 fa:16:3e:00:00:09 10.0.0.9 * *
duid 00:01
1 123 2001:db8::6 * 00:01
"""


class FormerTest(SynchronousTestCase):
    def test_gone(self) -> None:
        """Who is gone is noted as long as there is a lease; an address of another is disputed."""
        former = former_of("", OLD, NEW, LEASES)
        self.assertEqual(set(former.owners), {"10.0.0.5", "2001:db8::6"})
        self.assertEqual(former.disputed, {"10.0.0.5"})
        self.assertEqual(former_of(former.text(), "", "", LEASES), Former(former.owners, frozenset()))
        self.assertEqual(former_of(former.text(), "", "", ""), Former({}, frozenset()))
        self.assertEqual(set(former.settled().owners), {"2001:db8::6"})

    def test_back(self) -> None:
        """Who gets its own address back has a right to its lease."""
        self.assertEqual(former_of(former_of("", OLD, "", LEASES).text(), "", OLD, LEASES), Former({}, frozenset()))

    def test_without(self) -> None:
        """Other lines stay as they are, that of the server's own id too."""
        left = without(LEASES, {"10.0.0.5", "2001:db8::6"})
        self.assertEqual(left.splitlines(), ["1 fa:16:3e:00:00:09 10.0.0.9 * *", "duid 00:01"])
