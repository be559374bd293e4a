# -*- test-case-name: tests.daemon.test_prepare -*-
"""
What is done once per start, before any worker opens a database: migrations, the application's own ``prepare``, and the
files that clients read their credentials from.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudd.control import BOUNDARIES
from cloudd.database import migrate
from cloudd.interfaces.application import Resources, Threads
from reload import CodeTree, Generation

from ._spec import WorkerSpec
from ._state_folder import StateFolder


async def prepare_host(spec: WorkerSpec, state: StateFolder, threads: Threads, resources: Resources) -> list[str]:
    """
    Prepare the host; done again at each start.

    ``cloudd.application.prepare(resources)`` gives a mapping: empty when there is nothing new, else ``clouds`` (cloud
    name -> the ``auth`` values of ``clouds.yaml``) and ``s3`` (``access_key``, ``secret_key``, ``region``).

    :return: paths of the credential files that were written anew
    """
    await threads.run(migrate, state.control_database)
    generation = await threads.run(_open, spec, state)
    application = await threads.run(generation.load, "cloudd.application")
    credentials: Mapping[str, Any] = await application.prepare(resources)
    return await threads.run(write_credentials, state, spec.urls, credentials, resources.settings.identity.region)


def write_credentials(
    state: StateFolder, urls: Mapping[str, str], credentials: Mapping[str, Any], region: str
) -> list[str]:
    """
    Write ``clouds.yaml`` and ``s3.env`` when there are new credentials, else correct the URLs in them.

    The files have mode 0600 and are replaced as a whole.
    """
    written = []
    auth_url = f"{urls.get('api', '')}/identity/v3"
    endpoint = urls.get("s3", "")
    clouds, s3 = credentials.get("clouds"), credentials.get("s3")
    if clouds:
        _replace(state.clouds_file, _clouds_yaml(clouds, auth_url, region))
        written.append(str(state.clouds_file))
    else:
        _correct(state.clouds_file, re.compile(r"^(      auth_url: ).*$", re.MULTILINE), json.dumps(auth_url))
    if s3:
        _replace(state.s3_file, _s3_environment(s3, endpoint))
        written.append(str(state.s3_file))
    else:
        _correct(state.s3_file, re.compile(r"^(AWS_ENDPOINT_URL=).*$", re.MULTILINE), endpoint)
    return written


def _open(spec: WorkerSpec, state: StateFolder) -> Generation:
    return Generation(spec.generation, CodeTree.scan(state.code / spec.tree_hash, BOUNDARIES), BOUNDARIES)


def _clouds_yaml(clouds: Mapping[str, Mapping[str, str]], auth_url: str, region: str) -> str:
    lines = ["# Made by cloudd at its first start; auth_url follows [listen] at each start.", "clouds:"]
    for name, auth in clouds.items():
        lines += [f"  {name}:", "    auth:", f"      auth_url: {json.dumps(auth_url)}"]
        lines += [f"      {key}: {json.dumps(value)}" for key, value in auth.items()]
        lines += [f"    region_name: {json.dumps(region)}", "    identity_api_version: 3", "    interface: public"]
    return "\n".join(lines) + "\n"


def _s3_environment(s3: Mapping[str, str], endpoint: str) -> str:
    region = s3.get("region", "us-east-1")
    return (
        "# Made by cloudd at its first start; use: set -a; . s3.env; set +a\n"
        f"AWS_ACCESS_KEY_ID={s3['access_key']}\n"
        f"AWS_SECRET_ACCESS_KEY={s3['secret_key']}\n"
        f"AWS_ENDPOINT_URL={endpoint}\n"
        f"AWS_DEFAULT_REGION={region}\n"
        f"AWS_REGION={region}\n"
    )


def _correct(path: Path, line: re.Pattern[str], value: str) -> None:
    if path.exists():
        text = path.read_text(encoding="utf-8")
        corrected = line.sub(lambda found: found[1] + value, text)
        if corrected != text:
            _replace(path, corrected)


def _replace(path: Path, text: str) -> None:
    work = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    work.replace(path)
