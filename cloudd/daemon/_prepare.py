# -*- test-case-name: tests.daemon.test_processes -*-
"""What is done once per start, in a process of its own and before any worker opens a database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudd.database import check, migrate
from cloudd.interfaces.application import Resources, Threads

from ._code_source import APPLICATION, CodeSource
from ._credentials import write_credentials
from ._database_settle import settle_place
from ._generations import settled
from ._spec import WorkerSpec
from ._state_folder import StateFolder


async def prepare_host(
    spec: WorkerSpec, state: StateFolder, threads: Threads, source: CodeSource, resources: Resources
) -> list[str]:
    """
    Look whether the databases are damaged, migrate them, let the application prepare itself, write credentials.

    Done again at each start.

    With ``spec.check`` the application checks itself as before it serves, so that code that cannot serve ends here.

    ``cloudd.application.prepare(resources)`` gives ``identity``: what ``write_credentials`` calls ``login``.  When the
    files are on disk, ``cloudd.application.credentials_kept(resources)`` is called, which may forget it.

    :return: paths of the credential files that were written
    """
    settings = resources.settings
    place = await threads.run(settle_place, settings, state)
    for file in (place.where, state.object_index):
        if isinstance(file, Path):
            await threads.run(check, file)
    await threads.run(migrate, place.where, place.password_file)
    generation = await threads.run(source.open, spec.generation, spec.tree_hash)
    application: Any = await threads.run(generation.load, APPLICATION)
    prepared: Mapping[str, Any] = await application.prepare(resources)
    if spec.check:
        await settled(application.build(resources).self_check())
    login = prepared.get("identity") or {}
    region = resources.settings.identity.region
    written = await threads.run(write_credentials, state, spec.urls, login, region)
    if written:
        await threads.run(application.credentials_kept, resources)
    return written
