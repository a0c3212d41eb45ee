"""Nothing that comes from a stream, a table or a service becomes code, and nothing but loopback is listened on."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import kcl_py
from kcl_py.cli import local
from kcl_py.local.dynamodb_server import DynamoDBServer
from kcl_py.local.endpoints import LocalEndpoints
from kcl_py.local.kinesis_server import KinesisServer

PACKAGE = Path(kcl_py.__file__).parent
MODULES = frozenset(
    {"cPickle", "code", "codeop", "ctypes", "dill", "jsonpickle", "marshal", "pickle", "shelve", "yaml"}
)
CALLS = frozenset({"__import__", "compile", "eval", "exec", "globals", "locals", "vars"})
METHODS = frozenset({"import_module", "system", "popen", "literal_eval", "unsafe_load"})
PROCESSES = frozenset({"create_subprocess_exec", "create_subprocess_shell", "Popen", "execv", "execve", "spawnv"})

KNOWN = {
    # a name from the command line, which is code by intention
    ("cli/processor_path.py", "import_module"),
    ("cli/processor_path.py", "getattr"),
    # one of a fixed list of commands
    ("cli/__init__.py", "import_module"),
    # the demo's second worker: this interpreter, a module of ours
    ("cli/demo_story.py", "create_subprocess_exec"),
    # whether the SDK's client is as it was shipped, or somebody has wrapped it
    ("aws/direct_reads.py", "vars"),
    ("aws/direct_reads.py", "__globals__"),
    # names that our own modules spell: fields of a struct, an SDK's method of an operation, a processor's method
    ("config.py", "getattr"),
    ("processor.py", "getattr"),
    ("log_output.py", "getattr"),
    ("aws/connection.py", "getattr"),
    ("aws/table_connection.py", "getattr"),
    ("core/lease.py", "getattr"),
    ("local/memory_lease_table.py", "getattr"),
    ("runtime/data/user_code.py", "getattr"),
}
"""Where a thing that could run data is used, and why it does not."""


def doubts(tree: ast.AST) -> Iterator[str]:
    """What could turn a value into code, or into the name of something of ours."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in MODULES:
                yield module
            case ast.Call(func=ast.Name(id="getattr" | "setattr" as name), args=[_, ast.Constant(), *_]):
                continue  # an attribute by a fixed name
            case ast.Call(func=ast.Name(id=name)) if name in CALLS | {"getattr", "setattr"}:
                yield name
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS | PROCESSES:
                yield name
            case ast.Call(func=ast.Subscript(value=ast.Attribute(attr="modules"))):
                yield "sys.modules"
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield "shell=True"
            case ast.Attribute(attr="__class__" | "__globals__" | "__subclasses__" | "__builtins__" as name):
                yield name


def in_the_package() -> set[tuple[str, str]]:
    return {
        (path.relative_to(PACKAGE).as_posix(), doubt)
        for path in sorted(PACKAGE.rglob("*.py"))
        for doubt in doubts(ast.parse(path.read_text()))
    }


def test_no_data_is_unpickled_evaluated_or_used_as_a_name() -> None:
    assert in_the_package() - KNOWN == set()


def test_every_exception_is_still_needed() -> None:
    assert KNOWN - in_the_package() == set()


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml.loader",
        "eval(text)",
        "exec(text)",
        "builtins = x.__builtins__",
        "importlib.import_module(text)",
        "getattr(events, self.name)",
        "setattr(row, name, value)",
        "globals()[name]()",
        "subprocess.run(text, shell=True)",
        "subprocess.Popen(text)",
        "os.system(text)",
    ],
)
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert list(doubts(ast.parse(code))) != []


def servers(tree: ast.AST) -> Iterator[str]:
    """What listens for connections."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in {
                "TCPSite", "UnixSite", "make_server", "start_server", "create_server", "run_app", "HTTPServer",
                "ThreadingHTTPServer", "TCPServer", "listen",
            }:  # fmt: skip
                yield name


def test_only_the_local_endpoints_listen_and_a_worker_has_no_server_at_all() -> None:
    trees = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    listening = {name for name, tree in trees.items() if any(servers(tree))}
    assert listening == {"local/dynamodb_server.py", "local/kinesis_server.py"}


@pytest.mark.parametrize("serve", [KinesisServer, DynamoDBServer, LocalEndpoints])
def test_what_listens_does_so_on_loopback_alone(serve: type) -> None:
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"


def test_nor_can_the_command_line_open_it_to_the_network() -> None:
    assert {name for option in local.command.params for name in option.opts} == {
        "--kinesis-port", "--dynamodb-port", "--stream", "--verbose"
    }  # fmt: skip
