"""`tipoff rig`: look at a calibration, place it on the court, and check it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tipoff.console import echo_json, json_option

if TYPE_CHECKING:
    from accel.inspection import CameraSummary, Finding
    from accel.rig import Rig

_F = TypeVar("_F", bound=Callable[..., Any])

POOR_FIT_M = 0.05
"""Points further off than this, root mean square, deserve a word."""


def _rig_arguments(command: _F) -> _F:
    scale = click.option(
        "--scale",
        type=float,
        metavar="M",
        help="Metres per unit of the file. COLMAP needs it; else Qualisys has mm, the others m.",
    )
    return click.argument("path", metavar="RIG")(scale(command))


@click.group()
def rig() -> None:
    """Look at camera calibrations, place them on the court, check them.

    RIG is anipose or Pose2Sim TOML, a Qualisys .qca.txt, either of the pair intri.yml and extri.yml
    (OpenCV YAML) or cameras.txt and images.txt (COLMAP), or a folder with one of these.
    """


@rig.command()
@_rig_arguments
@json_option
def show(path: str, scale: float | None, as_json: bool) -> None:
    """Show each camera's size, view, place and direction."""
    from accel.inspection import summarise

    loaded = _load(path, scale)
    cameras = summarise(loaded)
    if as_json:
        echo_json(
            {"digest": loaded.digest(), "cameras": [_plain(asdict(camera)) for camera in cameras]}
        )
        return
    head = ["camera", "size px", "focal px", "view deg", "stands at m", "looks at m", "pitch deg"]
    click.echo(_table(head, [_row(camera) for camera in cameras]))
    click.echo(f"\n{len(cameras)} cameras, digest {loaded.digest()[:12]}")
    click.echo("World: z up. `looks at` is where the camera's axis meets the floor z = 0.")


@rig.command()
@_rig_arguments
@click.option("--points", required=True, metavar="FILE", help="Points file (TOML, see above).")
@click.option("--out", required=True, metavar="RIG2", help="Where to write the aligned rig (TOML).")
@click.option("--with-scale", is_flag=True, help="Correct the rig's lengths too, by one factor.")
@json_option
def align(
    path: str, scale: float | None, points: str, out: str, with_scale: bool, as_json: bool
) -> None:
    """Place a rig on the court by three or more points that it sees.

    \b
    The points file has a table for each point:
      [points.corner_far_right]
      court_m = [14.325, -7.62, 0.0]
      pixels = { cam01 = [812.5, 403.0], cam02 = [220.0, 655.5] }
    court_m: where it lies; origin at the court's centre, x along it, y to the left, z up.
    pixels: where two or more cameras see it; or rig_m = [x, y, z] in the rig's own world.
    """  # noqa: D301 - click's own mark
    from accel.landmarks import load_landmarks, positions_in_rig

    loaded = _load(path, scale)
    landmarks = load_landmarks(points)
    seen = positions_in_rig(loaded, landmarks)
    court = {name: landmark.court_m for name, landmark in landmarks.items()}
    result = loaded.to_world(seen, court, with_scale=with_scale)
    result.rig.save(out)
    if as_json:
        echo_json(
            {
                "out": out,
                "rms_m": result.rms_m,
                "residual_m": dict(result.residual_m),
                "scale": result.scale,
                "digest": result.rig.digest(),
            }
        )
        return
    rows = [[name, f"{distance:.3f}"] for name, distance in result.residual_m.items()]
    click.echo(_table(["point", "off by m"], rows))
    factor = f", lengths times {result.scale:.6g}" if with_scale else ""
    click.echo(f"\n{len(rows)} points, {result.rms_m:.3f} m root mean square{factor}")
    click.echo(f"wrote {out}")
    if result.rms_m > POOR_FIT_M:
        click.echo(_advice(result.rms_m, with_scale=with_scale), err=True)


def _advice(rms_m: float, *, with_scale: bool) -> str:
    scale = "" if with_scale else ", or --with-scale if the rig's unit is uncertain"
    return f"warning: {rms_m:.2f} m is much; look for a swapped or badly marked point{scale}"


@rig.command()
@_rig_arguments
@click.option("--points", metavar="FILE", help="Points file, as for `align`: how far off they are.")
@json_option
def check(path: str, scale: float | None, points: str | None, as_json: bool) -> None:
    """Check a rig; exit code 1 if something is wrong with it.

    Looks at distances between cameras, whether they share their views, whether every pixel has a
    ray and comes back from it, principal points, which way is up, and how far off the given points
    are.
    """
    from accel.inspection import inspect, overlap

    loaded = _load(path, scale)
    found = inspect(loaded)
    off = _point_errors(loaded, points, found) if points is not None else {}
    failed = any(finding.level == "error" for finding in found)
    shares = dict(zip(loaded.names, overlap(loaded).tolist(), strict=True))
    if as_json:
        echo_json(
            {
                "ok": not failed,
                "findings": [asdict(finding) for finding in found],
                "overlap": shares,
                "points_off_m": off,
            }
        )
    else:
        _print_check(shares, off, found)
    if failed:
        raise click.exceptions.Exit(1)


def _print_check(shares: dict[str, float], off: dict[str, float], found: list[Finding]) -> None:
    rows = [[name, f"{100 * share:.0f} %"] for name, share in shares.items()]
    click.echo(_table(["camera", "view shared"], rows))
    if off:
        rows = [[name, f"{distance:.3f}"] for name, distance in off.items()]
        click.echo("\n" + _table(["point", "off by m"], rows))
    click.echo("")
    for finding in found:
        where = f"{finding.camera}: " if finding.camera else ""
        click.echo(f"{finding.level}: {where}{finding.text}")
    if not found:
        click.echo("nothing looks wrong")


def _point_errors(loaded: Rig, path: str, found: list[Finding]) -> dict[str, float]:
    from accel.inspection import Finding
    from accel.landmarks import load_landmarks, positions_in_rig

    landmarks = load_landmarks(path)
    seen = positions_in_rig(loaded, landmarks)
    off = {name: math.dist(seen[name], landmarks[name].court_m) for name in landmarks}
    far = [name for name, distance in off.items() if distance > POOR_FIT_M]
    if far:
        text = f"points further off than {POOR_FIT_M} m: {', '.join(far)}; `tipoff rig align` it"
        found.append(Finding("error", None, text))
    return off


def _load(path: str, scale: float | None) -> Rig:
    from accel.rig import Rig

    return Rig.load(path, scale)


def _row(camera: CameraSummary) -> list[str]:
    looks_at = camera.looks_at_m
    return [
        camera.name,
        f"{camera.size_px[0]} x {camera.size_px[1]}",
        f"{camera.focal_px[0]:.1f} {camera.focal_px[1]:.1f}",
        f"{camera.fov_deg[0]:.1f} x {camera.fov_deg[1]:.1f}",
        " ".join(f"{value:.2f}" for value in camera.centre_m),
        "above the horizon" if looks_at is None else " ".join(f"{v:.2f}" for v in looks_at),
        f"{camera.pitch_deg:.1f}",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _plain(value: Any) -> Any:
    """The same with NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
