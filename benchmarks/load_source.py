"""The servers that the clients talk to, each in a process of its own, whose CPU is not counted."""

# ruff: noqa: S603 - every command is one of our own

import datetime
import ipaddress
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks import bodies
from benchmarks.environment import ROOT, built


class Endpoints(msgspec.Struct, frozen=True):
    """Where the servers listen."""

    plain_port: int
    tls_port: int
    dynamodb_url: str
    certificate: Path
    folder: Path  # of the bodies

    def url(self, *, is_tls: bool) -> str:
        """The Kinesis endpoint."""
        return f"https://127.0.0.1:{self.tls_port}" if is_tls else f"http://127.0.0.1:{self.plain_port}"

    def environment(self, *, is_tls: bool) -> dict[str, str]:
        """What every SDK must find in its environment to talk to them."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KCL_PY_"))},
            "AWS_ENDPOINT_URL_KINESIS": self.url(is_tls=is_tls),
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextmanager
def serving() -> Iterator[Endpoints]:
    """Serve the canned Kinesis and a local DynamoDB until the block is left."""
    program = built("source")
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "bodies"
        bodies.write(folder)
        certificate, key = certificate_for(Path(home))
        with _process(program, folder, certificate, key) as source, local() as exports:
            assert source.stdout is not None
            plain, tls = source.stdout.readline().split()
            yield Endpoints(int(plain), int(tls), exports["AWS_ENDPOINT_URL_DYNAMODB"], certificate, folder)


@contextmanager
def local(*options: str) -> Iterator[dict[str, str]]:
    """Run `kcl-py local`; what it says is to be exported."""
    kcl_py = (sys.executable, "-c", "from kcl_py.cli import main; main()")
    with _process(*kcl_py, "local", "--kinesis-port", "0", "--dynamodb-port", "0", *options) as process:
        assert process.stdout is not None
        lines = (process.stdout.readline().removeprefix("export ").strip().partition("=") for _ in range(6))
        yield {name: value for name, _, value in lines}


@contextmanager
def _process(*command: object) -> Iterator["subprocess.Popen[str]"]:
    words = [str(word) for word in command]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def certificate_for(folder: Path) -> tuple[Path, Path]:
    """One for the loopback address, which is its own authority."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kcl_py benchmarks")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key
