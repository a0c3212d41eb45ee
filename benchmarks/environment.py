"""What the benchmarks need beside the project's own environment: two C programs, and the peers."""

# ruff: noqa: S603 - every command is one of our own

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools" / "bench"
_NATIVE = ROOT / "benchmarks" / "native"
_PEERS = ROOT / "benchmarks" / "requirements.txt"
_PEERS_MARK = TOOLS / "peers" / "installed"
_LIBRARIES = ("-lssl", "-lcrypto")
_KCLPY = "amazon_kclpy==3.2.0"


class Missing(Exception):
    """The machine lacks something; the message says what to install."""


def built(name: str) -> Path:
    """Compile `native/NAME.c` unless that was done; its program.

    Raises:
        Missing: there is no compiler, or no OpenSSL to build against.
    """
    source, program = _NATIVE / f"{name}.c", TOOLS / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Missing("the load source is a C program: install a C compiler (Debian: apt-get install gcc libc6-dev)")
    TOOLS.mkdir(parents=True, exist_ok=True)
    words = (compiler, "-O2", "-Wall", "-Wextra", "-pthread", source, "-o", program, *_LIBRARIES)
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if "openssl/" in done.stderr or "-lssl" in done.stderr or "-lcrypto" in done.stderr:
        raise Missing("the load source speaks TLS: install OpenSSL's headers (Debian: apt-get install libssl-dev)")
    if done.returncode != 0:
        raise Missing(f"{compiler} does not compile {source.name}:\n{done.stderr}")
    return program


def peers() -> Path:
    """Install the peers into an environment of their own unless that was done; its interpreter.

    Raises:
        Missing: they cannot be installed.
    """
    home = TOOLS / "peers"
    python = home / "bin" / "python"
    if has_peers():
        return python
    print("installing the peers, once", file=sys.stderr)
    _run(sys.executable, "-m", "venv", "--clear", home)
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", _PEERS)
    _install_kclpy_child(python)
    _PEERS_MARK.write_bytes(_PEERS.read_bytes())
    return python


def has_peers() -> bool:
    """True if they are installed, as pinned."""
    return _PEERS_MARK.exists() and _PEERS_MARK.read_bytes() == _PEERS.read_bytes()


def _install_kclpy_child(python: Path) -> None:
    """Put the Python half of amazon_kclpy where it can be imported: to install all of it is to fetch the JVM's half."""
    with tempfile.TemporaryDirectory() as folder:
        download = ("download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:")
        _run(python, "-m", "pip", *download, "--dest", folder, _KCLPY)
        (archive,) = Path(folder).glob("*.tar.gz")
        (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
        with tarfile.open(archive) as opened:
            inside = [
                member
                for member in opened.getmembers()
                if member.name.split("/")[1:2] == ["amazon_kclpy"] and member.name.endswith(".py")
            ]
            for member in inside:
                member.name = member.name.partition("/")[2]
                opened.extract(member, packages, filter="data")


def _run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"the peers cannot be installed:\n{done.stderr[-2000:]}")
