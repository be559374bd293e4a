"""What is still to be done."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from cloudd.tasks import Form, open_payloads

from .house import FORM, House


class OpenTests(TestCase):
    async def test_open(self) -> None:
        """Payloads of those forms, whoever runs them, until they have ended."""
        house = House.built(self)
        done = await house.submit(payload={"n": 1})
        await house.submit(payload={"n": 2})
        await house.submit(form=Form(name="test.other"), payload={"n": 3})
        house.set(done, "state = 'done'")
        self.assertEqual(await house.database.read(open_payloads, [FORM]), [{"n": 2}])
