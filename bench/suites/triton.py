"""suite=triton: what the server costs over the same model in-process (written after the client)."""

from __future__ import annotations

from dataclasses import dataclass

from bench.config import BenchConfig, SuiteConfig
from bench.report import Report


@dataclass
class Config(SuiteConfig):
    """Options of suite=triton."""

    name: str = "triton"


def run(config: BenchConfig) -> Report:
    """Nothing yet."""
    raise NotImplementedError(config.suite.name)
