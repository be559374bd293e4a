"""The service: uploads that meet, or whose process has died, and data that nobody has."""

from __future__ import annotations

import time
from typing import Any

from attrs import evolve
from sqlalchemy import update
from twisted.internet.defer import Deferred

from cloudd.database.tables import image as image_table
from cloudd.image import DIGESTS, Image, ImageConflict, ImageForbidden, Images, _holding, _rows, _upkeep, data_of
from cloudd.interfaces.application import SelfCheckFailed
from storage import Listing
from tests.protocols.rest.image.cloud import FORMATS, ImageCase
from tests.protocols.swift.face import an_access

ALICE = an_access("alice", "p1", "member")


class ServiceTests(ImageCase):
    async def begun(self, data: bytes = b"") -> tuple[Image, Any]:
        """An image whose data comes."""
        made = await self.made(**FORMATS)
        return await self.images.begin_upload(ALICE, made["id"]), await self.received(data)

    async def received(self, data: bytes) -> Any:
        upload = await self.store.receive(DIGESTS)
        upload.write(data)
        return upload

    async def stored(self) -> int:
        return len(await self.store.objects(".images", "data", Listing()))

    async def status(self, image: Image) -> str:
        return (await self.images.get(ALICE, image.id)).status

    def be_silent(self) -> None:
        """Uploads that begin from now on are taken for dead at once."""
        self.patch(_holding, "SILENT_S", -1.0)

    async def test_one_at_a_time(self) -> None:
        """A second one is refused as long as the first says that it goes on."""
        image, _upload = await self.begun()
        again = Deferred.fromCoroutine(self.images.begin_upload(ALICE, image.id))
        await self.assertFailure(again, ImageConflict)

    async def test_killed(self) -> None:
        """What has said nothing for long is given up: by upkeep, and by whoever comes next."""
        self.be_silent()
        first, _upload = await self.begun()
        second, _upload = await self.begun()
        again = await self.images.begin_upload(ALICE, second.id)
        self.assertNotEqual(again.data_id, second.data_id)
        await self.images.upkeep.keep_up()
        self.assertEqual((await self.status(first), await self.status(second)), ("queued", "queued"))

    async def test_two_that_meet(self) -> None:
        """One that was taken for dead and comes after all is refused, and leaves the other's data alone."""
        self.be_silent()
        late, upload = await self.begun(b"late")
        image = await self.images.begin_upload(ALICE, late.id)
        kept = await self.images.keep(image, await self.received(b"in time"))
        self.assertEqual((kept.status, kept.size), ("active", 7))
        await self.assertFailure(Deferred.fromCoroutine(self.images.keep(late, upload)), ImageConflict)
        reading = await self.store.open(*data_of(kept))
        self.assertEqual((reading.content, await self.stored()), (b"in time", 1))
        reading.close()

    async def test_goes_on(self) -> None:
        """As long as it is held it is not given up."""
        image, _upload = await self.begun()
        clock = self.resources.reactor
        timer = self.images.hold(image)
        clock.advance(_holding.SILENT_S / 3 + 1)
        timer.stop()
        found = await self.images.get(ALICE, image.id)
        assert found.saving_until_us is not None and image.saving_until_us is not None
        self.assertGreaterEqual(found.saving_until_us, image.saving_until_us)

    async def test_changed_at_once(self) -> None:
        """Of two changes of one image the later one is refused, and that an upload goes on is no change."""
        image, _upload = await self.begun()
        timer = self.images.hold(image)
        self.resources.reactor.advance(_holding.SILENT_S / 3 + 1)
        timer.stop()
        first = await self.database.write(_rows.change, image, evolve(image, name="a"))
        self.assertEqual((first.name, first.status), ("a", "saving"))
        self.assertGreater(first.saving_until_us, image.saving_until_us)
        with self.assertRaises(ImageConflict):
            await self.database.write(_rows.change, image, evolve(image, name="b"))

    async def test_changed_in_one_tick(self) -> None:
        """A change finds out that the image went into another state, though the clock stood still."""
        made = await self.made(**FORMATS)
        still = int(time.time() * 1e6) + 3_600_000_000  # the clock was set back since
        await self.database.write(lambda c: c.execute(update(image_table).values(updated_us=still)))
        before = await self.images.get(ALICE, made["id"])
        begun = await self.images.begin_upload(ALICE, before.id)
        await self.database.write(_rows.give_up_upload, before.id, begun.data_id)
        after = await self.images.get(ALICE, before.id)
        self.assertEqual((after.status, after.updated_us), ("queued", still + 2))
        with self.assertRaises(ImageConflict):
            await self.database.write(_rows.change, before, evolve(before, name="a"))

    async def test_protected_meanwhile(self) -> None:
        """It is the row that counts, not what was read before."""
        image, _upload = await self.begun()
        await self.database.write(lambda c: c.execute(update(image_table).values(protected=True)))
        with self.assertRaisesRegex(ImageForbidden, "protected"):
            await self.database.write(_rows.remove, image.id)
        self.assertEqual((await self.images.get(ALICE, image.id)).status, "saving")

    async def test_staged_for_long(self) -> None:
        """What nobody imports is given up; its data is a stray then."""
        made = await self.made(**FORMATS)
        image = await self.images.begin_stage(ALICE, made["id"])
        await self.images.keep(image, await self.received(b"x"))
        await self.images.upkeep.keep_up()
        self.assertEqual(await self.status(image), "uploading")
        await self.database.write(lambda c: c.execute(update(image_table).values(staged_us=1)))
        await self.images.upkeep.keep_up()
        found = await self.images.get(ALICE, image.id)
        self.assertEqual((found.status, found.data_id, found.staged_size), ("queued", None, None))

    async def test_strays(self) -> None:
        """Data of a process that was killed between object and record is deleted when it is old."""
        image, upload = await self.begun(b"kept")
        await self.images.keep(image, upload)
        stray = await self.received(b"stray")
        await self.store.put_object(".images", "data", "x", stray, etag="e", content_type="t", metadata={})
        await self.images.upkeep.keep_up()
        self.assertEqual(await self.stored(), 2)
        later = time.time() + 4000
        self.patch(time, "time", lambda: later)
        self.patch(_upkeep, "PAGE", 1)
        await self.images.upkeep.keep_up()
        self.assertEqual(await self.stored(), 1)
        self.assertEqual(await self.status(image), "active")

    async def test_who_keeps_up(self) -> None:
        """The agent's worker, once; what fails is tried again."""
        self.images.lead()
        self.assertEqual(self.resources.reactor.getDelayedCalls(), [])
        agent = Images(evolve(self.resources, role="agent"), self.store)
        agent.lead()
        agent.lead()
        self.database.failing = RuntimeError("away")
        self.resources.reactor.advance(_upkeep.UPKEEP_S)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        agent.retire()
        self.assertEqual(self.resources.reactor.getDelayedCalls(), [])

    async def test_self_check(self) -> None:
        """It fails where records cannot be read."""
        self.database.failing = OSError("no disk")
        with self.assertRaisesRegex(SelfCheckFailed, "no disk"):
            await self.images.self_check()

    async def test_nothing_yet(self) -> None:
        """Before the first upload there is no place for data, and nothing to be kept up."""
        await self.images.upkeep.keep_up()
