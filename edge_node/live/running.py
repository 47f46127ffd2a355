"""`tipoff node run`: a node in this process, told to go by signals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edge_node.live.node import LiveNode
from edge_node.live.opening import open_parts
from edge_node.memory import share_heaps
from edge_node.serving import stop_on_signals
from edge_node.signals import ToldToGo, interrupt_on_term
from tipoff.console import configure_logging, name_process

if TYPE_CHECKING:
    from edge_node.live.settings import SessionSettings


def run_session(settings: SessionSettings, *, as_json: bool = False) -> None:
    """Serve a session until it ends or the process is told to go.

    Args:
        settings: What to track, and how.
        as_json: Whether a program reads stdout: it is told the addresses, in a line.

    Raises:
        TipoffError: As `edge_node.live.node` says.
    """
    share_heaps()
    configure_logging(level=settings.telemetry.log_level)
    name_process(node=settings.node, session=settings.name)
    with stop_on_signals() as stop:
        # Models may load for minutes, and there is no node yet to be told.
        opening_is_over = interrupt_on_term()
        try:
            with open_parts(settings, _say) as opened:
                opening_is_over()
                name_process(epoch=opened.journal.epoch)
                LiveNode(opened, _announce_json if as_json else _announce).run(stop)
        except ToldToGo:
            _say("told to go before the session was served")
        finally:
            opening_is_over()


def _announce(node: LiveNode) -> None:
    _say(
        f"serving session {node.session} (epoch {node.epoch}) at {node.address}; follow it with: "
        f"tipoff watch {node.address}"
    )


def _announce_json(node: LiveNode) -> None:
    _announce(node)
    addresses = {"address": node.address, "admin": node.admin_address}
    about = {"metrics": node.metrics_address, "session": node.session, "epoch": node.epoch}
    click.echo(json.dumps({**addresses, **about}))


def _say(line: str) -> None:
    click.echo(line, err=True)
