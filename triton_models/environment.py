"""What the models run in: their own Python environment and the server, in the user's cache.

Both are pinned by version and sha256 in the ``.lock`` files beside this module and lie in
folders named by the lock's digest, so clones share them, a changed lock makes new ones, and a
second install needs no network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triton_models.errors import EnvironmentBrokenError
from triton_models.locking import locked
from triton_models.paths import cache_dir

LOCKS = Path(__file__).parent
SUPPORTED = ((3, 11), (3, 12))
"""Python versions for which the server has a stub and NumPy 1 has a wheel."""

INSTALL_S = 1800.0
CHECK_S = 120.0
READY = ".ready"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the models' Python and the server lie."""

    models: Path
    """The virtual environment of the models: numpy<2, onnxruntime, DALI."""
    server: Path
    """The unpacked wheel that carries tritonserver."""

    @property
    def python(self) -> Path:
        """The models' interpreter."""
        return self.models / "bin" / "python3"

    @property
    def binary(self) -> Path:
        """The server's executable."""
        return self.server / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """The folder of backends, with the stub of this Python version."""
        return self.server / f"backends-{_minor()}"

    def variables(self) -> dict[str, str]:
        """Return the environment variables that the server and its stubs need.

        The stub takes its environment from the first ``python3`` on PATH and ignores PYTHON*.
        """
        libraries = (self.server / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR"))
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        return kept | {
            "PATH": f"{self.python.parent}:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(str(folder) for folder in libraries if folder),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


_KEPT = (
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "TIPOFF_ISA",
)


def locate() -> Environment:
    """Return where the environment lies or would lie; nothing is made."""
    _check_python()
    root = cache_dir() / "triton"
    models = f"models-py{_minor()}-{_digest('models.lock')}"
    return Environment(root / models, root / f"server-{_digest('server.lock')}")


def is_installed(environment: Environment) -> bool:
    """Tell whether both parts are whole."""
    parts = (environment.models, environment.server)
    return all((part / READY).is_file() for part in parts) and environment.backends.is_dir()


def install(report: Report) -> Environment:
    """Make the models' environment and the server where they are missing.

    Safe against a second process that does the same at once, which then waits.

    Args:
        report: Takes a line at a time about what is going on.

    Raises:
        EnvironmentBrokenError: Python is not one of the supported versions, or pip failed.
        DeadlineError: another process installs for too long.
    """
    environment = locate()
    if is_installed(environment):
        return environment
    lock = cache_dir() / "triton" / "install.lock"
    with locked(lock, INSTALL_S, lambda: report("another process installs; waiting for it")):
        _install_models(environment.models, report)
        _install_server(environment, report)
    return environment


def check(environment: Environment) -> None:
    """Refuse an environment in which the models would answer wrongly without a word.

    Under NumPy 2 the server's stub reads every input as zeros and answers nothing at all.

    Raises:
        EnvironmentBrokenError: NumPy 2, or a part cannot be imported.
    """
    code = "import numpy, onnxruntime, sys; print(numpy.__version__, sys.version_info[:2])"
    result = _run([environment.python, "-c", code], environment.variables(), CHECK_S)
    version = result.stdout.partition(" ")[0]
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentBrokenError(
            f"the models' environment {environment.models} cannot be used ({reason}): remove "
            "that folder and run `tipoff triton install`"
        )
    if int(version.partition(".")[0]) >= 2:
        raise EnvironmentBrokenError(
            f"the models' environment {environment.models} has NumPy {version}, with which the "
            "server reads every input as zeros: it needs numpy<2. Remove that folder and run "
            "`tipoff triton install`"
        )
    if str(sys.version_info[:2]) not in result.stdout:
        raise EnvironmentBrokenError(
            f"the models' environment {environment.models} is not of Python {_minor()}: remove "
            "that folder and run `tipoff triton install`"
        )


def _install_models(folder: Path, report: Report) -> None:
    if (folder / READY).is_file():
        return
    report(f"making the models' environment (about 300 MB to fetch) in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    result = _run([sys.executable, "-m", "venv", folder], None, INSTALL_S)
    if result.returncode != 0:
        reason = (result.stdout + result.stderr).strip()
        raise EnvironmentBrokenError(
            f"no virtual environment could be made in {folder}: {reason} "
            "(on Debian and Ubuntu: apt-get install python3-venv)"
        )
    _pip(folder, ["--requirement", str(LOCKS / "models.lock")], report)
    (folder / READY).touch()


def _install_server(environment: Environment, report: Report) -> None:
    folder = environment.server
    if not (folder / READY).is_file():
        report(f"fetching the Triton server (55 MB) into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        lock = str(LOCKS / "server.lock")
        _pip(environment.models, ["--no-deps", "--target", str(folder), "-r", lock], report)
        (folder / READY).touch()
    _assemble_backends(environment)


def _assemble_backends(environment: Environment) -> None:
    """Put the Python backend and the stub of this Python version into one folder."""
    if environment.backends.is_dir():
        return
    source = environment.server / "pytriton" / "tritonserver"
    made = environment.backends.with_suffix(".part")
    shutil.rmtree(made, ignore_errors=True)
    python = made / "python"
    python.mkdir(parents=True)
    stub = source / "python_backend_stubs" / _minor() / "triton_python_backend_stub"
    backend = source / "backends" / "python"
    files = (stub, backend / "libtriton_python.so", backend / "triton_python_backend_utils.py")
    for file in files:
        shutil.copy2(file, python / file.name)
    for executable in (python / stub.name, environment.binary):
        executable.chmod(0o755)
    made.rename(environment.backends)


def _pip(environment: Path, arguments: list[str], report: Report) -> None:
    """Install by hash, a line for each package on its way."""
    python = str(environment / "bin" / "python3")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    options = ["install", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off"]
    process = subprocess.Popen(
        [*pip, *options, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    last: list[str] = []
    with process:
        for line in process.stdout:
            last = [*last[-15:], line.rstrip()]
            if line.strip().startswith(("Downloading", "Using cached", "Installing collected")):
                report(line.strip()[:120])
    if process.returncode != 0:
        text = "\n  ".join(line for line in last if not line.startswith("WARNING"))
        raise EnvironmentBrokenError(
            "pip could not install the pinned packages (is the package index reachable?):\n  "
            + text
        )


def _run(
    command: list[str | Path], variables: dict[str, str] | None, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=variables, timeout=timeout_s, capture_output=True, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentBrokenError(
            f"{command[0]} cannot be run ({error}): run `tipoff triton install`"
        ) from error


def _digest(name: str) -> str:
    content = (LOCKS / name).read_bytes() + platform.machine().encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _minor() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _check_python() -> None:
    if sys.version_info[:2] not in SUPPORTED:
        known = " or ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
        raise EnvironmentBrokenError(
            f"this is Python {_minor()}, but the models run under {known} only (they need "
            "numpy<2 and the server's stub of the same version): make the environment with one"
        )
