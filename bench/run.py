"""The run folder: what was found, under which configuration, by which versions, on what machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.report import Report

PACKAGES = (
    "tipoff",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "hydra-core",
    "onnxruntime",
    "tritonclient",
    "av",
    "pose2sim",
)
ROOT = Path(__file__).resolve().parents[1]
GIT_DEADLINE_S = 10.0
BUSY_SHARE = 0.6


def write(folder: Path, report: Report, config: DictConfig, seconds: float) -> Path:
    """Write config.yaml and result.json into the run folder; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    document = {
        **report.document(),
        "seconds": round(seconds, 3),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": OmegaConf.to_container(config, resolve=True),
        "versions": versions(),
        "machine": machine(),
    }
    path = folder / "result.json"
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def versions() -> dict[str, Any]:
    """Python, the packages that matter, and this tree's commit."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"git": _git("rev-parse", "HEAD"), "changed": bool(_git("status", "--short"))}


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system and present load."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "memory_gib": _memory_gib(),
        "system": platform.platform(),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def busy() -> list[str]:
    """A note where others keep this machine busy, so that its times are not to be trusted."""
    if not hasattr(os, "getloadavg"):
        return []
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < BUSY_SHARE * cores:
        return []
    return [f"The machine was busy before this run (load {load:.1f} on {cores} cores): mind times."]


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _git(*arguments: str) -> str | None:
    """What git says of the tree that the benches run from; None outside a checkout."""
    if shutil.which("git") is None:
        return None
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=GIT_DEADLINE_S
    )
    return done.stdout.strip() if done.returncode == 0 else None
