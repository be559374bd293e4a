# -*- test-case-name: tests.daemon.test_credentials -*-
"""
The files that clients read their credentials from: ``clouds.yaml`` for OpenStack's, ``s3.env`` for S3's.

They are written when a new cloud gives its first log-in; later starts only follow changes of ``[listen]``, so that an
operator may edit the rest.  Mode 0600, replaced as a whole, on disk before anyone is told.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from ._state_folder import StateFolder

S3_REGION = "us-east-1"
_CLOUDS = {"cloudd": "demo", "cloudd-admin": "admin"}  # name of the cloud -> name of user and project
_AUTH_URL = re.compile(r"^(\s+auth_url: ).*$", re.MULTILINE)
_ENDPOINT = re.compile(r"^(AWS_ENDPOINT_URL=).*$", re.MULTILINE)


def write_credentials(state: StateFolder, urls: Mapping[str, str], login: Mapping[str, str], region: str) -> list[str]:
    """
    Write both files for a first log-in, or correct the URLs in those that are there.  Blocks; safe to call again.

    :param urls: face -> base URL; without the S3 face its URL stays empty
    :param login: ``admin_password``, ``demo_password``, ``ec2_access`` and ``ec2_secret``; empty: nothing is new
    :return: paths of the files that were written for a new log-in
    :raises OSError: a file cannot be written; the log-in must not be forgotten then
    """
    auth_url = json.dumps(f"{urls['api']}/identity/v3" if "api" in urls else "")
    endpoint = urls.get("s3", "")
    if not login:
        _correct(state.clouds_file, _AUTH_URL, auth_url)
        _correct(state.s3_file, _ENDPOINT, endpoint)
        return []
    _replace(state.clouds_file, clouds_yaml(login, auth_url, region))
    _replace(state.s3_file, s3_environment(login, endpoint))
    return [str(state.clouds_file), str(state.s3_file)]


def clouds_yaml(login: Mapping[str, str], auth_url: str, region: str) -> str:
    """``clouds.yaml``; every value is quoted as JSON is, which is YAML as well."""
    lines = ["# Made by cloudd at its first start; auth_url follows [listen] at each start.", "clouds:"]
    for cloud, user in _CLOUDS.items():
        lines += [
            f"  {cloud}:",
            "    auth:",
            f"      auth_url: {auth_url}",
            f"      username: {json.dumps(user)}",
            f"      password: {json.dumps(login[f'{user}_password'])}",
            f"      project_name: {json.dumps(user)}",
            '      user_domain_name: "Default"',
            '      project_domain_name: "Default"',
            f"    region_name: {json.dumps(region)}",
            "    identity_api_version: 3",
            "    interface: public",
        ]
    return "\n".join(lines) + "\n"


def s3_environment(login: Mapping[str, str], endpoint: str) -> str:
    """``s3.env``, for a shell or for systemd's ``EnvironmentFile``."""
    return (
        "# Made by cloudd at its first start; use: set -a; . s3.env; set +a\n"
        f"AWS_ACCESS_KEY_ID={login['ec2_access']}\n"
        f"AWS_SECRET_ACCESS_KEY={login['ec2_secret']}\n"
        f"AWS_ENDPOINT_URL={endpoint}\n"
        f"AWS_DEFAULT_REGION={S3_REGION}\n"
        f"AWS_REGION={S3_REGION}\n"
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
