"""What commands say of a journal: who made it, and what was proved of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_node.journal.facts import SessionFacts
    from edge_node.journal.verdict import Verdict


def made_by(facts: SessionFacts) -> dict[str, Any]:
    """Say what made snapshots: node, rig, models, code."""
    return {
        "node": facts.node,
        "rig": f"sha256:{facts.rig.digest()}",
        "cameras": list(facts.rig.names),
        "models": [{"name": name, "digest": digest} for name, digest in facts.models],
        "code": {
            "tipoff": facts.build.version,
            "native": f"sha256:{facts.build.native_sha256}",
            "machine": facts.build.machine,
            "isa": facts.isa,
        },
    }


def text(value: Any) -> str:
    """Write a value of JSON for a person."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(text(item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "-"


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Say for a program what was proved and what was found."""
    from dataclasses import asdict

    return {
        "session": verdict.session,
        "holds": verdict.holds,
        "found": [{"record": found.record, "what": found.what} for found in verdict.found],
        "first_record": verdict.first,
        "last_record": verdict.last,
        "last_hash": verdict.last_hash.hex(),
        "vouched": verdict.vouched,
        "signed_up_to": verdict.head_record,
        "signed_ns": verdict.head_ns,
        "unsigned": [asdict(unsigned) for unsigned in verdict.unsigned],
        "heads": verdict.heads,
        "public_keys": [key.hex() for key in verdict.public_keys],
        "replayed_from": verdict.replayed_from,
        "not_replayed": verdict.not_replayed,
        "observations": verdict.observations,
        "snapshots": verdict.snapshots,
        "checkpoints": verdict.checkpoints,
        "moved_aside": [{"record": cut.record, "what": cut.what} for cut in verdict.cuts],
        "epochs": [{"epoch": epoch, **made_by(facts)} for epoch, facts in verdict.made_by],
    }


def verdict_lines(verdict: Verdict) -> list[str]:
    """Say in a few lines what was proved and what was found."""
    lines = [f"session {verdict.session}, records {verdict.first} to {verdict.last}"]
    for epoch, facts in verdict.made_by:
        made = made_by(facts)
        lines.append(f"  epoch {epoch}: node {text(made['node'])}, rig {made['rig']}")
        lines.append(f"    models: {text(made['models'])}")
        lines.append(f"    code: {text(made['code'])}")
    keys = ", ".join(key.hex() for key in verdict.public_keys)
    lines.append(f"chain: {_signed(verdict)}")
    lines += [
        f"  behind the last head of epoch {behind.epoch}: records {behind.first} to {behind.last},"
        f" {behind.play_ns / 1e9:.2f} s of play"
        for behind in verdict.unsigned
    ]
    lines.append(f"  keys: {keys or 'none'}")
    if not verdict.vouched:
        lines.append("  nobody vouched for them: give --key, or a --head from elsewhere")
    counts = ", ".join(f"{count} {kind}" for kind, count in verdict.snapshots.items())
    if verdict.replayed_from is not None:
        lines.append(
            f"replay: {verdict.observations} observations from record {verdict.replayed_from} on;"
            f" bit for bit: {counts or 'no'} snapshots, {verdict.checkpoints} checkpoints"
        )
    if verdict.not_replayed:
        lines.append(f"not replayed: {verdict.not_replayed}")
    lines += [f"moved aside before record {cut.record}: {cut.what}" for cut in verdict.cuts]
    lines += [f"WRONG: {found.what}" for found in verdict.found]
    lines.append("holds" if verdict.holds else "does not hold")
    return lines


def _signed(verdict: Verdict) -> str:
    if not verdict.heads:
        return "signed nowhere"
    at = datetime.fromtimestamp(verdict.head_ns / 1e9, UTC).isoformat(" ", "seconds")
    return f"signed up to record {verdict.head_record}, at {at}, by {verdict.heads} heads"
