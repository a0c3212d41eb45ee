"""Install into .tools/ what the contract suites need and this machine can run: run by `make test`, before pytest.

Standard library only. Everything is pinned under integration/tools/. What is installed already costs a hash; what
cannot be installed costs one line here and its tests, which the run names at its end. With KCL_PY_REQUIRE_ALL=1 it
fails instead.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "integration" / "tools"
TOOLS = ROOT / ".tools"
STAMP = "provisioned"
INSTALL_TIMEOUT_SECONDS = 600


class Tool(NamedTuple):
    """A program that only tests use."""

    name: str
    folder: Path  # everything of it is in here
    path: Path  # what a test runs or looks into
    programs: tuple[str, ...]  # that must be on the PATH, to install and to run it
    pins: tuple[str, ...]  # the files under integration/tools/ that fix its versions
    install: Callable[[Path], None]

    @property
    def fingerprint(self) -> str:
        """Changes when the pins, the Python or the place do."""
        digest = hashlib.sha256(f"{sys.version_info[:2]} {self.folder}".encode())
        for pin in self.pins:
            digest.update((PINS / pin).read_bytes())
        return digest.hexdigest()

    @property
    def is_installed(self) -> bool:
        """True if an installation for these very pins was completed."""
        stamp = self.folder / STAMP
        return stamp.is_file() and stamp.read_text() == self.fingerprint and self.path.exists()

    @property
    def missing_programs(self) -> list[str]:
        """Which of the programs that it needs are not on the PATH."""
        return [program for program in self.programs if shutil.which(program) is None]

    @property
    def obstacle(self) -> str | None:
        """Why the tool cannot be used now; None if it can."""
        if self.missing_programs:
            return f"no {' and no '.join(self.missing_programs)}"
        return None if self.is_installed else "not installed: run make test"


def find(name: str) -> Tool:
    """Look a tool up by its name."""
    return next(tool for tool in ALL if tool.name == name)


def _npm(folder: Path) -> None:
    for pin in ("package.json", "package-lock.json"):
        shutil.copy(PINS / pin, folder)
    _run("npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder)


def _maven(folder: Path) -> None:
    _run(
        "mvn", "--batch-mode", "--quiet", "--file", str(PINS / "pom.xml"), "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={folder}",
    )  # fmt: skip


def _apart(pins: str) -> Callable[[Path], None]:
    """Install packages into an environment of their own."""

    def install(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(
            str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-input", "--require-hashes", "-r", str(PINS / pins),
        )  # fmt: skip

    return install


def _faketime(folder: Path) -> None:
    """PyPI has the source inside a package of pure Python; the compiler is the machine's own."""
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
        "--only-binary", ":all:", "--require-hashes", "-d", str(folder), "-r", str(PINS / "libfaketime.txt"),
    )  # fmt: skip
    (package,) = folder.glob("*.whl")
    _run(sys.executable, "-m", "zipfile", "-e", str(package), str(folder))
    flags = "-std=gnu99 -fPIC -DPREFIX='\"\"' -DLIBDIRNAME='\"\"'"  # the clock alone: no sleeps, timers or files
    _run("make", "--always-make", "-C", str(folder / _FAKETIME_SOURCE), f"CFLAGS={flags}", "libfaketime.so.1")


_FAKETIME_SOURCE = Path("libfaketime", "vendor", "libfaketime", "src")


def _beside(pins: str) -> Callable[[Path], None]:
    """Install packages into a folder that goes in front of the environment's own; the pins name each of them."""

    def install(folder: Path) -> None:
        _run(
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(PINS / pins),
        )  # fmt: skip

    return install


ALL = (
    Tool(
        "kinesis-local",
        TOOLS / "node",
        TOOLS / "node" / "node_modules" / "kinesis-local",
        ("node", "npm"),
        ("package.json", "package-lock.json"),
        _npm,
    ),
    Tool(
        "dynamodb-local",
        TOOLS / "dynamodb-local",
        TOOLS / "dynamodb-local" / "DynamoDBLocal-2.6.1.jar",
        ("java", "mvn"),
        ("pom.xml",),
        _maven,
    ),
    *(
        Tool(name, TOOLS / name, TOOLS / name / "bin" / program, (), (f"{name}.txt",), _apart(f"{name}.txt"))
        for name, program in (("awscli", "aws"), ("ministack", "ministack"))
    ),
    *(
        Tool(name, TOOLS / name, TOOLS / name / "aiobotocore", (), (f"{name}.txt",), _beside(f"{name}.txt"))
        for name in ("sdk-oldest", "sdk-newest")
    ),
    Tool(
        "libfaketime",
        TOOLS / "libfaketime",
        TOOLS / "libfaketime" / _FAKETIME_SOURCE / "libfaketime.so.1",
        ("make", "cc"),
        ("libfaketime.txt",),
        _faketime,
    ),
)


def _run(*command: str, cwd: Path | None = None) -> None:
    """Run quietly; what the command printed is shown only if it fails."""
    subprocess.run(
        command, cwd=cwd, check=True, timeout=INSTALL_TIMEOUT_SECONDS, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def provision(tool: Tool) -> str | None:
    """Install a tool unless it is there. Returns why that cannot be, None if all is well."""
    if tool.is_installed:
        return None
    if tool.missing_programs:
        return tool.obstacle
    shutil.rmtree(tool.folder, ignore_errors=True)
    tool.folder.mkdir(parents=True)
    began = time.monotonic()
    try:
        tool.install(tool.folder)
    except subprocess.CalledProcessError as error:
        return f"{error.cmd[0]} failed:\n{error.stdout.strip()[-2000:]}"
    except subprocess.TimeoutExpired as error:
        return f"{error.cmd[0]} took more than {INSTALL_TIMEOUT_SECONDS} s"
    # last of all, so that an installation that was cut off is done again
    (tool.folder / STAMP).write_text(tool.fingerprint)
    print(f"{tool.name}: installed in {time.monotonic() - began:.0f} s", flush=True)
    return None


def main() -> int:
    """Install every tool. Exit code 1 if one is missing and all are required."""
    obstacles = {tool.name: provision(tool) for tool in ALL}
    missing = {name: obstacle for name, obstacle in obstacles.items() if obstacle is not None}
    for name, obstacle in missing.items():
        print(f"{name}: its tests will not run on this machine: {obstacle}", flush=True)
    return 1 if missing and os.environ.get("KCL_PY_REQUIRE_ALL") == "1" else 0


if __name__ == "__main__":
    sys.exit(main())
