"""Cameras for tests: an RTSP server for each, whose pictures are generated.

It runs under /usr/bin/python3 and needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and
gstreamer1.0-plugins-{base,good,ugly}, and nothing of ours. `tests/support/cameras.py` starts it.

    /usr/bin/python3 rtsp_server.py --cameras 4 --size 640x360 --rate 15

writes a line of JSON with the ports, then takes commands on stdin, a line each, and answers `ok`:

    stop N           the camera's server is gone, its connections are cut
    start N          it is there again, on the same port
    freeze N         the same picture over and over
    black N          darkness with noise
    show N M         what camera M shows
    delay N MS       pictures come MS ms late, with the times at which they come
    grain N LEVELS   noise of a sensor, also over a frozen picture
    still            nobody moves any more, in any camera
    move             they do again
    play N           the camera is as it was
    stall N SECONDS  nothing comes for so long, though the connection stands
    quit

With `--film FILE ...`, one for each camera, real pictures are shown instead of people made up: raw
I420 of the cameras' size at `--film-rate`, to and fro, so that nobody jumps; all cameras show the
same moment, by one trigger.

Each picture, a dark one aside, carries the time at which it was made, in its top rows: 32 blocks of
16 x 16 px, the highest bit first, 0.1 ms each, modulo 2**32.
"""

from __future__ import annotations

import argparse
import json
import mmap
import operator
import os
import random
import sys
import threading
import time
from collections import deque
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

BLOCK = 16
BITS = 32
DARK, BRIGHT = 24, 220
PEOPLE = 6
GRAINS = 8
MAX_DELAY_S = 5


class Painter:
    """Makes the pictures of one camera, I420: a ground of its own, people who walk, noise."""

    def __init__(self, number: int, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._rng = random.Random(number)
        self._number = number
        self.grain = 3
        self._grounds = self._with_noise(self._ground(), self.grain)
        self._night = self._with_noise(bytes([17]) * (width * height), 4)
        self._chroma = bytes([108 + 10 * (number % 4)]) * (width * height // 2)

    def set_grain(self, levels: int) -> None:
        """Change the noise."""
        self.grain = levels
        self._grounds = self._with_noise(self._ground(), levels)

    def _ground(self) -> bytes:
        """Patches of different brightness: no two cameras see the same."""
        rng, columns, rows = random.Random(1000 + self._number), 16, 9
        patches = [[rng.randint(60, 190) for _ in range(columns)] for _ in range(rows)]
        lines = []
        for row in range(rows):
            step = self.width // columns
            line = b"".join(bytes([level]) * step for level in patches[row])
            line += line[-1:] * (self.width - len(line))
            last = row == rows - 1
            lines.append(line * (self.height // rows + (self.height % rows if last else 0)))
        return b"".join(lines)

    def _with_noise(self, luma: bytes, levels: int) -> list[bytes]:
        """Several times the same with fresh noise, of about so many levels."""
        if not levels:
            return [luma]
        grains = []
        for _ in range(GRAINS):
            noise = self._rng.randbytes(len(luma)).translate(
                bytes(n * (2 * levels + 1) // 256 for n in range(256))
            )
            grains.append(bytes(map(operator.add, luma, noise)))
        return grains

    def paint(self, now_s: float, moving_s: float, *, night: bool) -> bytes:
        """Make the picture of a moment; people are where they were at `moving_s`."""
        luma = bytearray(self._rng.choice(self._night if night else self._grounds))
        if not night:
            for person in range(PEOPLE):
                self._person(luma, person, moving_s)
            write_time(luma, self.width, now_s)
        return bytes(luma) + self._chroma

    def grains_over(self, picture: bytes) -> bytes:
        """Put fresh noise over a picture that was made before."""
        size = self.width * self.height
        noise = self._rng.randbytes(size).translate(
            bytes(n * (2 * self.grain + 1) // 256 for n in range(256))
        )
        luma = bytes(min(a + b, 255) for a, b in zip(picture[:size], noise, strict=True))
        return luma + picture[size:]

    def _person(self, luma: bytearray, person: int, moving_s: float) -> None:
        """A bright or dark block that walks to and fro."""
        width, height = self.width // 20, self.height // 4
        speed = self.width / (6.0 + person)
        span = self.width - width
        way = (moving_s * speed + 97 * person * (self._number + 1)) % (2 * span)
        x = int(way if way < span else 2 * span - way)
        y = 2 * BLOCK + (person * 53 * (self._number + 2)) % (self.height - height - 2 * BLOCK)
        level = bytes([DARK + 16 if person % 2 else BRIGHT - 16]) * width
        for row in range(y, y + height):
            at = row * self.width + x
            luma[at : at + width] = level


class Film(Painter):
    """Shows a film to and fro: real pictures, at the place where the clock says.

    Args:
        number: The camera's.
        width, height: Of a picture.
        path: Raw I420, picture after picture.
        rate: Pictures a second.
    """

    def __init__(self, number: int, width: int, height: int, path: Path, rate: int) -> None:
        super().__init__(number, width, height)
        with path.open("rb") as file:
            self._film = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._size, self._rate = width * height * 3 // 2, rate
        self._count = len(self._film) // self._size

    def paint(self, now_s: float, moving_s: float, *, night: bool) -> bytes:
        """Give the picture of a moment."""
        if night:
            return super().paint(now_s, moving_s, night=True)
        turn = 2 * (self._count - 1)
        place = round(moving_s * self._rate) % turn
        at = min(place, turn - place) * self._size
        picture = bytearray(self._film[at : at + self._size])
        write_time(picture, self.width, now_s)
        return bytes(picture)


def write_time(luma: bytearray, width: int, now_s: float) -> None:
    """Write the time at which a picture is made into its top rows."""
    ticks = int(now_s * 10_000) % (1 << BITS)
    row = bytearray()
    for bit in range(BITS - 1, -1, -1):
        row += bytes([BRIGHT if ticks >> bit & 1 else DARK]) * BLOCK
    for line in range(BLOCK):
        luma[line * width : line * width + len(row)] = row


class Camera:
    """One camera: a server on a port of its own, and the thread that makes its pictures."""

    def __init__(self, number: int, options: argparse.Namespace) -> None:
        self.number, self._options = number, options
        self.width, self.height = (int(side) for side in options.size.split("x"))
        self.painter = self._painter()
        self._source: Gst.Element | None = None
        self._late: deque[tuple[float, bytes]] = deque()
        self.shown = self
        self.picture = b""
        self.frozen = self.dark = False
        self.delay_s = 0.0
        self.stalled_until_s = 0.0
        self.port = 0
        self._attached = 0
        self.server: GstRtspServer.RTSPServer | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _painter(self) -> Painter:
        options, size = self._options, (self.width, self.height)
        if not options.film:
            return Painter(self.number, *size)
        return Film(self.number, *size, Path(options.film[self.number]), options.film_rate)

    def start(self) -> None:
        """Be there, on the port of before if there was one."""
        server = GstRtspServer.RTSPServer()
        server.set_address("127.0.0.1")
        server.set_service(str(self.port))
        factory = GstRtspServer.RTSPMediaFactory()
        options = self._options
        factory.set_launch(
            "( appsrc name=pictures is-live=true format=time do-timestamp=true max-bytes=4000000 "
            f"caps=video/x-raw,format=I420,width={self.width},height={self.height},"
            f"framerate={options.rate}/1 ! x264enc tune=zerolatency speed-preset=ultrafast "
            f"threads=1 key-int-max={options.rate * options.key_s} bitrate={options.kbit} ! "
            "video/x-h264,profile=baseline ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
        )
        factory.set_shared(True)
        factory.connect("media-configure", self._configure)
        if options.user:
            self._guard(server, factory)
        server.get_mount_points().add_factory("/live", factory)
        self._attached = server.attach(None)
        if not self._attached:
            raise OSError(f"port {self.port} cannot be taken")
        self.server = server
        self.port = server.get_bound_port()

    def _guard(
        self, server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory
    ) -> None:
        """Ask for a password."""
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        password = os.environ["RTSP_PASSWORD"]
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(self._options.user, password), token)
        server.set_auth(auth)
        factory.add_role_from_structure(
            Gst.Structure.new_from_string(
                "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
            )
        )

    def stop(self) -> None:
        """Cut every connection and take no new ones."""
        if self.server is None:
            return
        GLib.source_remove(self._attached)
        self.server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)
        self.server, self._source = None, None

    def play(self) -> None:
        """Take everything back that was changed."""
        self.shown, self.frozen, self.dark, self.delay_s = self, False, False, 0.0
        if self.painter.grain != 3:
            self.painter.set_grain(3)

    def _configure(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        self._source = media.get_element().get_child_by_name("pictures")
        media.connect("unprepared", lambda *_: setattr(self, "_source", None))

    def _run(self) -> None:
        beat_s = 1.0 / self._options.rate
        due_s = time.monotonic() + beat_s * self.number / 7.0
        if self._options.film:
            due_s -= due_s % beat_s  # one trigger for all
        while True:
            due_s += beat_s
            time.sleep(max(due_s - time.monotonic(), 0.0))
            self._step()

    def _step(self) -> None:
        now_s = time.time()
        if self.frozen and self.picture:
            picture = self.picture
            if self._options.grain_over:
                picture = self.painter.grains_over(picture)
        else:
            moving_s = now_s if World.moving else World.stopped_s
            other = self.shown
            picture = (
                other.picture
                if other is not self and other.picture
                else self.painter.paint(now_s, moving_s, night=self.dark)
            )
            self.picture = picture
        self._late.append((now_s, picture))
        while self._late and self._late[0][0] <= now_s - self.delay_s:
            _, picture = self._late.popleft()
            source = self._source
            if source is not None and now_s >= self.stalled_until_s:
                source.emit("push-buffer", Gst.Buffer.new_wrapped(picture))


class World:
    """What all cameras see."""

    moving = True
    stopped_s = 0.0


def obey(cameras: list[Camera], line: str) -> None:
    """Do what a command says."""
    word, *rest = line.split()
    if word == "still":
        World.moving, World.stopped_s = False, time.time()
        return
    if word == "move":
        World.moving = True
        return
    camera = cameras[int(rest[0])]
    if word == "stop":
        camera.stop()
    elif word == "start":
        camera.start()
    elif word == "freeze":
        camera.frozen = True
    elif word == "black":
        camera.dark = True
    elif word == "show":
        camera.shown = cameras[int(rest[1])]
    elif word == "delay":
        camera.delay_s = min(float(rest[1]) / 1000.0, MAX_DELAY_S)
    elif word == "grain":
        camera.painter.set_grain(int(rest[1]))
    elif word == "stall":
        camera.stalled_until_s = time.time() + float(rest[1])
    elif word == "play":
        camera.play()
    else:
        raise ValueError(f"no such command: {word}")


def say(line: str) -> None:
    """Answer on stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--rate", type=int, default=15)
    parser.add_argument("--key-s", type=int, default=1, help="Seconds between key frames.")
    parser.add_argument("--kbit", type=int, default=2000)
    parser.add_argument("--user", default="", help="Ask for this user and $RTSP_PASSWORD.")
    parser.add_argument("--grain-over", action="store_true", help="Noise over frozen pictures.")
    parser.add_argument("--film", nargs="*", default=[], help="Pictures of each camera, raw I420.")
    parser.add_argument("--film-rate", type=int, default=30)
    options = parser.parse_args()
    Gst.init(None)
    cameras = [Camera(number, options) for number in range(options.cameras)]
    for camera in cameras:
        camera.start()
    loop = GLib.MainLoop()
    threading.Thread(target=loop.run, daemon=True).start()
    say(json.dumps({"ports": [camera.port for camera in cameras]}))
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        done = threading.Event()
        failed: list[str] = []

        def run(line: str = line, done: threading.Event = done, failed: list[str] = failed) -> bool:
            try:
                obey(cameras, line)
            except (ValueError, IndexError, OSError) as error:
                failed.append(str(error))
            done.set()
            return False

        GLib.idle_add(run)
        done.wait()
        say(f"failed {failed[0]}" if failed else "ok")


if __name__ == "__main__":
    main()
