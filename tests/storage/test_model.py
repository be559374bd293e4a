"""Random histories of both stores, compared with a dictionary after every step."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from storage import IObjectStore, Listing, MemoryStore, NoSuchObject, ObjectFacts, Precondition, PreconditionFailed
from storage._settling import DELAY_S
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, read_bytes, upload_bytes
from tests.storage.direct import DirectIndex, direct_store, files_below

NAMES = st.sampled_from(["a", "a/b", "a/c", "b", "ü/1"])
DATA = st.binary(max_size=20)


def now(waiting: Any) -> Any:
    """The result of what is done at once, or its exception raised."""
    results: list[Any] = []
    deferred = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
    deferred.addCallbacks(lambda value: results.append((value, None)), lambda failure: results.append((None, failure)))
    ((value, failure),) = results
    if failure is not None:
        failure.raiseException()
    return value


class StoreMachine(RuleBasedStateMachine):
    """One container of a store, and ``model``: name -> content."""

    store: IObjectStore
    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.start()
        now(self.store.create_container(ACCOUNT, BOX, {}))

    def start(self) -> None:
        """Make ``self.store``."""
        self.store = MemoryStore()

    @rule(name=NAMES, data=DATA)
    def put(self, name: str, data: bytes) -> None:
        now(put_bytes(self.store, name, data))
        self.model[name] = data

    @rule(name=NAMES, data=DATA)
    def put_if_absent(self, name: str, data: bytes) -> None:
        try:
            now(put_bytes(self.store, name, data, precondition=Precondition(if_absent=True)))
        except PreconditionFailed:
            assert name in self.model
        else:
            assert name not in self.model
            self.model[name] = data

    @rule(source=NAMES, name=NAMES)
    def copy(self, source: str, name: str) -> None:
        try:
            facts = now(self.store.object(ACCOUNT, BOX, source))
        except NoSuchObject:
            assert source not in self.model
            return
        now(self.store.copy_object(facts, ACCOUNT, BOX, name, content_type="", metadata={}))
        self.model[name] = self.model[source]

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        try:
            now(self.store.delete_object(ACCOUNT, BOX, name))
        except NoSuchObject:
            assert name not in self.model
        else:
            del self.model[name]

    @rule(names=st.sets(NAMES))
    def delete_many(self, names: set[str]) -> None:
        assert now(self.store.delete_objects(ACCOUNT, BOX, names)) == names & self.model.keys()
        for name in names:
            self.model.pop(name, None)

    @rule(target=uploads, name=NAMES)
    def begin_multipart(self, name: str) -> tuple[str, str]:
        facts = now(self.store.begin_multipart(ACCOUNT, BOX, name, content_type="", metadata={}))
        self.parts[facts.upload_id] = {}
        return name, facts.upload_id

    @rule(upload=uploads, number=st.integers(1, 3), data=DATA)
    def put_part(self, upload: tuple[str, str], number: int, data: bytes) -> None:
        name, upload_id = upload
        if upload_id in self.parts:
            body = now(upload_bytes(self.store, data))
            now(self.store.put_part(ACCOUNT, BOX, name, upload_id, number, body, etag="e", metadata={}))
            self.parts[upload_id][number] = data

    @rule(upload=uploads, keep=st.sets(st.integers(1, 3)))
    def complete(self, upload: tuple[str, str], keep: set[int]) -> None:
        name, upload_id = upload
        held = self.parts.pop(upload_id, None)
        if held is not None:
            numbers = sorted(keep & held.keys())
            content = b"".join(held[number] for number in numbers)
            etag = hashlib.md5(content).hexdigest()
            wanted = [(number, "e") for number in numbers]
            now(self.store.complete_multipart(ACCOUNT, BOX, name, upload_id, wanted, etag=etag, metadata={}))
            self.model[name] = content

    @rule(upload=uploads)
    def abort(self, upload: tuple[str, str]) -> None:
        name, upload_id = upload
        if self.parts.pop(upload_id, None) is not None:
            now(self.store.abort_multipart(ACCOUNT, BOX, name, upload_id))

    @invariant()
    def content_is_the_model_s(self) -> None:
        rows = now(self.store.objects(ACCOUNT, BOX, Listing()))
        assert [row.name for row in rows] == sorted(self.model)
        for row in rows:
            assert isinstance(row, ObjectFacts)
            assert row.etag == hashlib.md5(self.model[row.name]).hexdigest()
            assert now(read_bytes(self.store, row.name)) == self.model[row.name]

    @invariant()
    def counters_are_exact(self) -> None:
        expected = (len(self.model), sum(map(len, self.model.values())))
        container, account = now(self.store.container(ACCOUNT, BOX)), now(self.store.account(ACCOUNT))
        assert (container.object_count, container.bytes_used) == expected
        assert (account.object_count, account.bytes_used) == expected


class FileStoreMachine(StoreMachine):
    """The same over files, with time, restarts and a look at the folder."""

    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-model-"))
        self.index = DirectIndex(self.folder / "index.sqlite")
        self.clock = Clock()
        self.open()

    def open(self) -> None:
        self.store = direct_store(self.folder / "store", self.index, self.clock)
        now(self.store.recover())

    def teardown(self) -> None:
        self.index.close()
        shutil.rmtree(self.folder)

    @rule()
    def wait(self) -> None:
        self.clock.advance(DELAY_S)

    @rule()
    def upkeep(self) -> None:
        assert now(self.store.upkeep()) == 0

    @rule()
    def restart(self) -> None:
        now(self.store.close())
        self.open()

    @invariant()
    def files_are_those_that_are_named(self) -> None:
        self.clock.advance(DELAY_S)
        named = [
            piece
            for table in ("objects", "parts")
            for (extents,) in self.index.connection.execute(f"SELECT extents FROM {table}")
            for piece in extents.split()
        ]
        assert files_below(self.folder / "store") == sorted(piece.partition(":")[0] for piece in named)


class ModelTests(SynchronousTestCase):
    """Both stores against the model."""

    def check(self, machine: type[StoreMachine], examples: int) -> None:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    def test_memory(self) -> None:
        """``MemoryStore``."""
        self.check(StoreMachine, 40)

    def test_files(self) -> None:
        """``FileStore``."""
        self.check(FileStoreMachine, 15)
