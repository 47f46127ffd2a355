"""Builds what is not Python: the C++ core by CMake, the Cython module, the stubs of protos/.

Everything else about the distribution stands in pyproject.toml. With `TIPOFF_NATIVE=later` only
the Python part is installed; `make native` builds the rest in place, and only what changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PROTOS = ROOT / "protos"
STUBS = Path("tipoff/v1")
NATIVE_LATER = os.environ.get("TIPOFF_NATIVE") == "later"


def tool(name: str) -> str:
    """Find a program of the build requirements, whether or not their environment is activated."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SystemExit(f"error: {name} was not found; it comes with the build requirements")
    return found


class CMakeExtension(Extension):
    """An extension module that CMakeLists.txt builds."""

    def __init__(self, name: str) -> None:
        super().__init__(name, sources=[])


class BuildStubs(Command):
    """Generates the messages, services and their types from protos/ into tipoff/v1."""

    description = "generate the stubs of protos/ with their types"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = [
        ("build-lib=", None, "folder to write tipoff/v1 into")
    ]
    editable_mode = False

    def initialize_options(self) -> None:
        """Leave the folder open until the command line has spoken."""
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        """Write where the Python files of the wheel are written."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Replace the folder as a whole, or a deleted proto would leave its stub behind."""
        protos = self._protos()
        if not protos:
            return
        out = self._root() / STUBS
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        _protoc(protos, self._root())
        (out / "__init__.py").write_text('"""Stubs of protos/tipoff/v1, generated."""\n')

    def get_source_files(self) -> list[str]:
        """Name the inputs, for the source distribution."""
        return [str(path.relative_to(ROOT)) for path in self._protos()]

    def get_outputs(self) -> list[str]:
        """Name the outputs, for the record of what was installed."""
        folder = self._root() / STUBS
        names = ["_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"]
        stubs = [str(folder / (path.stem + end)) for path in self._protos() for end in names]
        return [*stubs, str(folder / "__init__.py")] if stubs else []

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing is copied from the source tree."""
        return {}

    def _root(self) -> Path:
        return ROOT if self.editable_mode else Path(self.build_lib or ROOT)

    @staticmethod
    def _protos() -> list[Path]:
        return [] if NATIVE_LATER else sorted(PROTOS.glob("tipoff/v1/*.proto"))


def _protoc(protos: list[Path], out: Path) -> None:
    import grpc_tools

    included = Path(grpc_tools.__file__).parent / "_proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{included}"]
    command += [f"--plugin=protoc-gen-{name}={tool(f'protoc-gen-{name}')}" for name in PLUGINS]
    command += [f"--{name}_out={out}" for name in ("python", "grpc_python", *PLUGINS)]
    subprocess.run([*command, *map(str, protos)], check=True, cwd=ROOT)


PLUGINS = ("mypy", "mypy_grpc")


class Build(build):
    """A build that forgets the last one, so that no deleted file stays in a wheel."""

    sub_commands: ClassVar[list[tuple[str, Any]]] = [("build_stubs", None), *build.sub_commands]

    def run(self) -> None:
        """Empty the folder first."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildExt(build_ext):
    """Hands the core to CMake and everything else to setuptools."""

    def build_extension(self, ext: Extension) -> None:
        """Build one extension module."""
        if isinstance(ext, CMakeExtension):
            self._cmake(ext)
        else:
            super().build_extension(ext)

    def _cmake(self, ext: Extension) -> None:
        import pybind11

        build_folder = (Path(self.build_temp) / "cmake").resolve()
        module = Path(self.get_ext_fullpath(ext.name)).resolve()
        # Given each time: a kept cache names an isolated environment that is gone.
        options = {
            "TIPOFF_PYTHON": "ON",
            "TIPOFF_TESTS": "OFF",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "CMAKE_MAKE_PROGRAM": tool("ninja"),
            "CMAKE_LIBRARY_OUTPUT_DIRECTORY": str(module.parent),
        }
        cmake = tool("cmake")
        configure = [cmake, "-S", str(ROOT), "-B", str(build_folder), "-G", "Ninja"]
        configure += [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([cmake, "--build", str(build_folder)], check=True)


def extensions() -> list[Extension]:
    """List the modules that have sources; the generated C++ stays out of accel/."""
    found: list[Extension] = []
    if NATIVE_LATER:
        return found
    if any(ROOT.glob("accel/bindings/*.cpp")):
        found.append(CMakeExtension("accel._core"))
    if (ROOT / "accel/decode.pyx").exists():
        found += _cythonized()
    return found


def _cythonized() -> list[Extension]:
    import numpy
    from Cython.Build import cythonize

    decode = Extension(
        "accel.decode",
        ["accel/decode.pyx"],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=["-O3", "-ffp-contract=off"],
    )
    modules: list[Extension] = cythonize([decode], build_dir="build/cython", language_level=3)
    return modules


setup(
    ext_modules=extensions(),
    cmdclass={"build": Build, "build_ext": BuildExt, "build_stubs": BuildStubs},
)
