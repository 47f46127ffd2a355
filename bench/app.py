"""The Hydra application behind `python -m bench`."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bench import run as run_folder
from bench.config import BenchConfig, register, suite_names
from bench.report import Report, stdout
from tipoff.errors import InvalidInputError, TipoffError

CONF = str(Path(__file__).resolve().parent / "conf")
EXIT_TARGET_MISSED = 1

register()


@hydra.main(config_path=CONF, config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    """Run one suite; exits with 1 where it missed a target, else as the error says."""
    try:
        report = measure(config)
    except TipoffError as error:
        if os.environ.get("TIPOFF_DEBUG") == "1":
            raise
        shown = Console(stderr=True)
        shown.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    if report.missed:
        sys.exit(EXIT_TARGET_MISSED)


def measure(config: DictConfig) -> Report:
    """Run the configured suite, show its table, write its run folder."""
    plain = OmegaConf.to_object(config)
    assert isinstance(plain, BenchConfig)
    name = plain.suite.name
    if name not in suite_names():
        known = ", ".join(suite_names())
        raise InvalidInputError(f"there is no suite {name!r}; there are {known}", field="suite")
    busy = run_folder.busy()
    began = time.perf_counter()
    report: Report = importlib.import_module(f"bench.suites.{name}").run(plain)
    seconds = time.perf_counter() - began
    report.notes.extend(busy)
    folder = Path(HydraConfig.get().runtime.output_dir)
    path = run_folder.write(folder, report, config, seconds)
    report.show()
    stdout().print(f"{seconds:.1f} s; {path}", highlight=False, soft_wrap=True)
    return report
