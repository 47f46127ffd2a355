"""`tipoff track` and `tipoff serve`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_node.listening import linger_option, listen_option
from edge_node.moments import MOMENT
from tipoff.console import echo_json, json_option, progress

if TYPE_CHECKING:
    from edge_node.area import Area
    from edge_node.session import SessionOptions

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

DETECT_EVERY = 30
REST_EVERY = 4
INPUT_PX = 512


def _camera_options() -> list[Decorator]:
    """Give what says which cameras there are."""
    return [
        click.argument("videos", nargs=-1, required=True),
        click.option(
            "--rig",
            type=click.Path(exists=True, path_type=Path),
            required=True,
            help="The calibration: anipose or Pose2Sim TOML, Qualisys, OpenCV YAML or COLMAP.",
        ),
        click.option(
            "--scale", type=float, help="Metres per unit of the calibration, where it says none."
        ),
        click.option(
            "--subset", is_flag=True, help="Track with fewer videos than the rig has cameras."
        ),
    ]


def _loop_options() -> list[Decorator]:
    """Give what says how the closed loop spends inference."""
    return [
        click.option(
            "--detect-every",
            type=click.IntRange(min=1),
            default=DETECT_EVERY,
            show_default=True,
            help="Search each camera's whole frame every N frames; 1 turns the closed loop off.",
        ),
        click.option(
            "--pose-model",
            default="multipose",
            show_default=True,
            help="What poses the people between searches: multipose (regions), lightning, thunder, "
            "mixed, or a model of your own (`tipoff models add`).",
        ),
        click.option(
            "--rest-every",
            type=click.IntRange(min=0),
            default=REST_EVERY,
            show_default=True,
            help="Pose nobody in every N-th frame of a camera, the cameras taking turns; 0 poses "
            "them always.",
        ),
        click.option(
            "--input-size",
            type=click.IntRange(min=32),
            default=INPUT_PX,
            show_default=True,
            help="Longer side of the detector's input, a multiple of 32.",
        ),
    ]


def _run_options() -> list[Decorator]:
    """Give what says where people count, what is played, and who poses them."""
    return [
        click.option(
            "--area",
            metavar="X0,Y0,X1,Y1|all",
            help="Report people who stand here, in metres. By default those whom three cameras "
            "have in view.",
        ),
        click.option("--max-frames", type=click.IntRange(min=1), help="Stop after N frames each."),
        click.option(
            "--start",
            "start_ns",
            type=MOMENT,
            default=0,
            help="When the recordings began, such as 2026-03-01T19:30:00+00:00.",
        ),
        click.option(
            "--offset",
            "offsets",
            metavar="CAM=MS",
            multiple=True,
            help="How many ms later a camera's recording began. May be given several times.",
        ),
        click.option(
            "--triton",
            metavar="HOST:PORT",
            help="gRPC address of a running server on this machine (`tipoff triton up`); without "
            "it one is started for this run.",
        ),
    ]


def session_options(command: F) -> F:
    """Add what both commands ask for: rig, videos, closed loop, models, server."""
    for option in reversed([*_camera_options(), *_loop_options(), *_run_options()]):
        command = option(command)
    return command


@click.command()
@session_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the results; those of an earlier run are replaced.",
)
@click.option("--overlay/--no-overlay", default=True, help="Whether to draw overlay.mp4.")
@json_option
def track(out: Path, overlay: bool, as_json: bool, **given: Any) -> None:
    """Track everybody in the videos of calibrated cameras.

    Writes into the folder --out: tracks.parquet (a row for each time, track and joint, with its
    covariance), summary.json, overlay.mp4 (all cameras side by side with the skeletons) and
    report.html, which shows it all in a page.

    A video belongs to the camera whose name is its file's name, or a word in it; CAM=PATH says it
    outright.

    \b
    $ tipoff track --rig rig.toml --out out/game cam1.mp4 cam2.mp4 cam3.mp4
    $ tipoff track --rig rig.toml --out out/game north=a.mp4 south=b.mp4 --area -14,-8,14,8
    """  # noqa: D301 - click's own mark
    summary = run_track(read_session_options(given), out, overlay=overlay)
    if as_json:
        echo_json(summary)
    else:
        click.echo(describe(summary, out))


def run_track(options: SessionOptions, out: Path, *, overlay: bool) -> dict[str, Any]:
    """Track, write the results, and give the summary; an interrupt ends the files well."""
    from edge_node.results import ResultFiles
    from edge_node.session import open_session

    with open_session(options, say) as session:
        title = f"Tracks of {', '.join(source.path.stem for source in session.sources)}"
        files = ResultFiles(out, session, title, overlay=overlay)
        with progress("Tracking", session.total, "frames") as bar:
            pipeline = session.pipeline(files.sinks, on_round=bar.advance)
            try:
                result = pipeline.run()
            except KeyboardInterrupt:
                files.finish(pipeline.result())
                raise
        return files.finish(result)


@click.command()
@session_options
@listen_option
@click.option("--session", "session_name", default="live", show_default=True, help="Its name.")
@click.option(
    "--pace/--no-pace",
    default=True,
    show_default=True,
    help="Play recordings at their own pace, as if live, or as fast as this machine can.",
)
@linger_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the results of `tipoff track` here, too.",
)
@json_option
def serve(**given: Any) -> None:
    """Track videos and stream the tracks to subscribers.

    The service is tipoff.v1.TrackingService on gRPC, with health and reflection; `tipoff watch`
    and `tipoff.Client` follow it.

    \b
    $ tipoff serve --rig rig.toml cam1.mp4 cam2.mp4 cam3.mp4
    $ tipoff watch
    """  # noqa: D301 - click's own mark
    from edge_node.serving import ServeOptions
    from edge_node.serving import serve as serve_session

    own = ("listen", "session_name", "pace", "out", "as_json")
    how = ServeOptions(linger_s=given["linger"], **{name: given[name] for name in own})
    serve_session(read_session_options(given), how)


def read_session_options(given: dict[str, Any]) -> SessionOptions:
    """Make the options of a session of what the command line gave."""
    from edge_node.planner import PlanOptions
    from edge_node.posing import PoseOptions
    from edge_node.session import SessionOptions

    plan = PlanOptions(
        detect_every=given["detect_every"],
        rest_every=given["rest_every"],
        input_px=given["input_size"],
        pose=PoseOptions(model=given["pose_model"]),
    )
    return SessionOptions(
        rig=given["rig"],
        videos=given["videos"],
        scale=given["scale"],
        subset=given["subset"],
        plan=plan,
        area=read_area(given["area"]),
        max_frames=given["max_frames"],
        start_ns=given["start_ns"],
        offsets_ns=read_offsets(given["offsets"]),
        triton=given["triton"],
    )


def read_area(text: str | None) -> Area | None:
    """Read ``x0,y0,x1,y1`` or ``all``; None stays the rig's default."""
    from edge_node.area import Everywhere, Rectangle

    if text is None:
        return None
    if text == "all":
        return Everywhere()
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither `all` nor four numbers x0,y0,x1,y1 in metres",
            param_hint="--area",
        ) from None
    return Rectangle(x0, y0, x1, y1)


def read_offsets(texts: tuple[str, ...]) -> dict[str, int]:
    """Read ``CAM=MS`` as ns by camera."""
    offsets = {}
    for text in texts:
        name, separator, number = text.rpartition("=")
        try:
            offsets[name] = round(float(number) * 1e6)
        except (ValueError, OverflowError):
            separator = ""
        if not (separator and name):
            raise click.BadParameter(
                f"{text!r} is no CAM=MS, such as cam2=16.7", param_hint="--offset"
            )
    return offsets


def say(line: str) -> None:
    """Say on stderr what is going on."""
    click.echo(line, err=True)


def describe(summary: dict[str, Any], out: Path) -> str:
    """Say in a few lines what a run found and where it lies."""
    spread, variation = summary["reprojection_px"], summary["limb_length_variation"]
    tracks = [
        f"  track {t['id']}: {t['snapshots']} of {summary['frames']} snapshots, "
        f"{number(t['reprojection_px']['median'], '{:.1f} px')}"
        for t in summary["tracks"]
    ]
    frames = sum(camera["frames"] for camera in summary["cameras"])
    total = summary["seconds"]["total"]
    lines = [
        f"tracks: {len(summary['tracks'])}, in {summary['frames']} frames of "
        f"{len(summary['cameras'])} cameras",
        *tracks,
        f"reprojection {number(spread['median'], '{:.1f} px')} median, "
        f"{number(spread['p95'], '{:.0f} px')} p95; limb variation {number(variation, '{:.1%}')}",
        f"{frames / total:.0f} camera frames a second",
        f"results: {out / 'report.html'}",
    ]
    if summary["outside"]:
        note = f"{summary['outside']} more outside the area ({summary['area']}); --area all"
        lines.insert(1 + len(tracks), f"  {note} reports them")
    return "\n".join(lines)


def number(value: float | None, form: str) -> str:
    """Write a number, or a dash where there is none."""
    return "-" if value is None else form.format(value)
