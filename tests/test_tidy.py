"""The house rules of CONTRIBUTING.md, as far as a program can check them, and that the documents tell the truth."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import botocore.session
import pytest
from click.testing import CliRunner

import kcl_py
from kcl_py.cli import main
from kcl_py.cli.policy import POLICIES
from kcl_py.config import SETTINGS
from tests.policies import allowed

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kcl_py"
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40
README_LINES_MAX = 120
NAMES_THAT_NAME_NOTHING = {"utils", "util", "helpers", "helper", "common", "base", "manager", "impl", "misc"}
COMMANDS = (
    (),
    ("run",),
    ("demo",),
    ("leases",),
    ("consumers", "list"),
    ("consumers", "deregister"),
    ("local",),
    ("put",),
    ("tail",),
    ("policy",),
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

CATCH_EVERYTHING = {
    "runtime/data/user_code.py": "the one place that runs code of users",
    "runtime/emitter.py": "a listener is code of users too",
    "runtime/keeper_thread.py:KeeperThread._run": "a thread has nobody above it: the worker raises what ended it",
    "cli/processor_path.py:_imported": "importing a user's module runs it; what it raises becomes a ProcessorError",
    "aws/abandonable_threads.py:AbandonableThreads._do": "what a call raises belongs to whoever waits for its result",
    "local/kinesis_server.py:KinesisServer._handle": "a bug of the model is answered as a service answers its own",
}
"""Where everything may be caught, and why. Every entry must still be needed."""

UNDOCUMENTED = {
    "local/requests.py": "each class is a request of the API reference, field by field",
    "local/answers.py": "each class is an answer of the API reference, field by field",
}
"""Where the service's own reference is the documentation."""

HOSTS = {
    "amazonaws.com": "the AWS endpoints, in examples of input",
    "docs.astral.sh": "where to find uv",
    "keepachangelog.com": "the form of the changelog",
    "maven.apache.org": "an XML namespace",
    "semver.org": "what the versions mean",
    "www.apache.org": "the licence",
    "www.w3.org": "an XML namespace",
}
"""Hosts that a tracked file may name besides example names and this machine. Every entry must still be needed."""


class Definition(NamedTuple):
    """A class or function, and what it is called from the module on."""

    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    is_public: bool


class Source(NamedTuple):
    """One module of the package."""

    name: str  # relative to the package, such as runtime/keeper.py
    text: str
    tree: ast.Module

    @property
    def lines_with_code(self) -> set[int]:
        """The numbers of the lines that hold more than a comment."""
        empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
        return {
            number
            for token in tokenize.generate_tokens(io.StringIO(self.text).readline)
            if token.type not in empty
            for number in range(token.start[0], token.end[0] + 1)
        }

    def definitions(self) -> Iterator[Definition]:
        """Every class and function; what is defined inside a function is never public."""
        yield from _definitions(self.tree, "", is_public=True)


def _definitions(within: ast.AST, prefix: str, *, is_public: bool) -> Iterator[Definition]:
    for node in ast.iter_child_nodes(within):
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            definition = Definition(f"{prefix}{node.name}", node, is_public and not node.name.startswith("_"))
            yield definition
            is_shown = definition.is_public and isinstance(node, ast.ClassDef)
            yield from _definitions(node, f"{definition.name}.", is_public=is_shown)
        else:
            yield from _definitions(node, prefix, is_public=is_public)


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path.relative_to(PACKAGE).as_posix(), text, ast.parse(text)))
    assert len(found) > 50
    return tuple(found)


@cache
def tracked() -> dict[str, str]:
    """Every text that git keeps, by its path."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file():
            texts[name] = path.read_text(encoding="utf-8")
    return texts


# -- modules ------------------------------------------------------------------------------------------------------


def test_modules_are_short() -> None:
    assert [source.name for source in sources() if len(source.text.splitlines()) > MODULE_LINES_MAX] == []


def test_functions_are_short() -> None:
    long = {}
    for source in sources():
        code = source.lines_with_code
        for definition in source.definitions():
            if isinstance(definition.node, FUNCTIONS):
                first, *others = definition.node.body
                body = others if ast.get_docstring(definition.node) is not None and others else [first, *others]
                lines = code & set(range(body[0].lineno, (body[-1].end_lineno or 0) + 1))
                if len(lines) > FUNCTION_LINES_MAX:
                    long[f"{source.name}:{definition.name}"] = len(lines)
    assert long == {}


def test_files_are_named_after_what_they_are() -> None:
    parts = {part for source in sources() for part in Path(source.name).with_suffix("").parts}

    assert parts & NAMES_THAT_NAME_NOTHING == set()
    assert [part for part in parts if part.endswith(tuple(f"_{name}" for name in NAMES_THAT_NAME_NOTHING))] == []


def test_everything_public_has_a_docstring() -> None:
    bare = [source.name for source in sources() if ast.get_docstring(source.tree) is None]
    for source in sources():
        if source.name in UNDOCUMENTED:
            continue
        for definition in source.definitions():
            is_overload = any(ast.unparse(mark) == "overload" for mark in definition.node.decorator_list)
            if definition.is_public and not is_overload and ast.get_docstring(definition.node) is None:
                bare.append(f"{source.name}:{definition.name}")
    assert bare == []


def test_nothing_prints() -> None:
    printing = [
        f"{source.name}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert printing == []


def _catching_everything(source: Source) -> Iterator[str]:
    """Names the innermost definition around each handler that catches everything."""
    broad = re.compile(r"\b(Exception|BaseException|ExceptionGroup|BaseExceptionGroup)\b")
    for node in ast.walk(source.tree):
        caught = ""
        if isinstance(node, ast.ExceptHandler):
            caught = "Exception" if node.type is None else ast.unparse(node.type)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = ast.unparse(node)
        if broad.search(caught):
            line = getattr(node, "lineno", 0)
            around = [it for it in source.definitions() if it.node.lineno <= line <= (it.node.end_lineno or 0)]
            yield around[-1].name if around else "the module"


def test_nothing_else_catches_everything() -> None:
    places = {f"{source.name}:{name}" for source in sources() for name in _catching_everything(source)}
    reasons = {place: next((entry for entry in CATCH_EVERYTHING if place.startswith(entry)), None) for place in places}

    assert [place for place, entry in reasons.items() if entry is None] == []
    assert set(CATCH_EVERYTHING) - set(reasons.values()) == set(), "an exception to the rule is not needed any more"


def test_imports_point_where_the_contracts_allow() -> None:
    checked = subprocess.run(
        (Path(sys.executable).parent / "lint-imports", "--no-cache"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


# -- the package --------------------------------------------------------------------------------------------------

HEAVY = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "moto", "pynamodb", "rich")


@pytest.mark.parametrize(
    "code",
    [
        "import kcl_py",
        "from kcl_py import Config; Config(stream='orders', application='billing')",
        "import kcl_py.cli; kcl_py.cli.main.main(['--help'])",
        "import kcl_py.cli; kcl_py.cli.main.main(['run', '--help'])",
    ],
)
def test_what_needs_no_aws_does_not_wait_for_its_sdk(code: str) -> None:
    ended = subprocess.run(
        (sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules)); {code}"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = ended.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded"
    assert "kcl_py" in loaded
    assert set(HEAVY) & set(loaded) == set()


def test_the_package_exports_what_users_need_and_no_more() -> None:
    assert set(kcl_py.__all__) == {
        "CheckpointError", "Checkpointer", "Config", "ConfigError", "KclError", "LeaseLost", "Record", "RecordBatch",
        "RecordProcessor", "ShardContext", "StartPosition", "Worker", "__version__", "events",
    }  # fmt: skip
    assert all(getattr(kcl_py, name) is not None for name in kcl_py.__all__)


# -- the command line ---------------------------------------------------------------------------------------------


def _help(*words: str) -> str:
    return " ".join(CliRunner().invoke(main, [*words, "--help"]).output.split())


def test_every_command_is_listed_with_a_whole_sentence() -> None:
    modules = {
        Path(source.name).stem
        for source in sources()
        if source.name.startswith("cli/") and any(definition.name == "command" for definition in source.definitions())
    }
    lines = CliRunner().invoke(main, ["--help"]).output.partition("Commands:")[2].partition("Exit codes:")[0]
    listed = dict(re.findall(r"^  (\w+) +(\S.*)$", lines, re.MULTILINE))

    assert set(listed) == modules
    assert all(sentence.endswith(".") and not sentence.endswith("...") for sentence in listed.values())


def test_every_setting_says_why_and_is_in_the_help_of_run() -> None:
    text = _help("run")

    for name, setting in SETTINGS.items():
        assert setting.reason.endswith("."), f"{name} has no reason"
        assert setting.option in text
        assert setting.variable in text
        assert " ".join(setting.reason.split()) in text


# -- what git keeps -----------------------------------------------------------------------------------------------


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    here = re.escape(str(ROOT)) if len(ROOT.parts) > 2 else "/home"
    absolute = re.compile(rf"(?<![\w.~$}})/-])({here}|/(home|root|Users|mnt|srv|work|workspace)/\w)")

    assert [name for name, text in tracked().items() if absolute.search(text)] == []


def test_no_file_names_a_registry_or_another_host_without_a_reason() -> None:
    hosts = {
        (name, host)
        for name, text in tracked().items()
        for host in re.findall(r"https?://([\w-]+(?:\.[\w-]+)+)", text)
        if not host.endswith(".example") and not re.fullmatch(r"[\d.]+", host)
    }
    known = {host: next((known for known in HOSTS if host.endswith(known)), None) for _, host in hosts}

    assert sorted((name, host) for name, host in hosts if known[host] is None) == []
    assert set(HOSTS) - set(known.values()) == set(), "a host is not named any more"


def test_the_pins_say_what_to_install_and_not_where_from() -> None:
    pins = {name: text for name, text in tracked().items() if name == "requirements.lock" or "/tools/" in name}
    source = re.compile(
        r"^\s*(--?[\w-]*index[\w-]*|-i\b|--find-links|--trusted-host)|\"resolved\"|<repository>", re.MULTILINE
    )

    assert "requirements.lock" in pins
    assert [name for name, text in pins.items() if source.search(text)] == []


# -- the documents ------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    text = tracked()["README.md"]
    commands = re.findall(r"^make \w+", text, re.MULTILINE)

    assert len(text.splitlines()) <= README_LINES_MAX
    assert commands == ["make demo", "make test"]
    assert text.index("make test") < text.index("\n## ")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_that_documents_name_exist(name: str) -> None:
    known = " ".join(_help(*words) for words in COMMANDS)
    others = {"--stream-name", "--partition-key", "--data"}  # the AWS command line's
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (ROOT / name).read_text(encoding="utf-8")))

    assert [option for option in sorted(named - others) if option not in known] == []


def test_the_map_of_the_house_names_every_module_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    modules = {Path(source.name).name for source in sources()} - {"__init__.py", "_version.py", "printable.py"}
    named = set(re.findall(r"`(?:[\w.]+/)*(\w+\.py)`", text))
    by_path = set(re.findall(r"`((?:cli|aws|core|local|runtime)/\w+\.py)`", text))
    in_words = set(re.findall(r"\b\w+\b", text))

    assert {module for module in modules if module.removesuffix(".py") not in in_words} == set()
    assert {name for name in named if name not in modules and not (ROOT / "tests" / name).exists()} == set()
    assert {path for path in by_path if not (PACKAGE / path).exists()} == set()


def test_the_policies_and_the_readme_ask_for_the_permissions_that_the_code_needs() -> None:
    session = botocore.session.get_session()
    operations = {
        name for service in ("kinesis", "dynamodb") for name in session.get_service_model(service).operation_names
    }
    literals = {
        node.value
        for source in sources()
        if source.name.startswith("aws/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    table = "".join(line for line in tracked()["README.md"].splitlines() if line.startswith("|"))

    called = operations & literals
    policies = {action.partition(":")[2] for name in POLICIES for action in allowed(name)}
    of_commands = {"PutRecords", "ListStreamConsumers", "DeregisterStreamConsumer"}  # put, consumers
    in_words = {name for pair in re.findall(r"[:`]([A-Z][a-z]+[A-Z]\w+)`|`(Scan|Query)`", table) for name in pair}

    assert called >= {"GetRecords", "UpdateItem"}
    assert policies == called - of_commands | {"Decrypt", "TagResource"}  # asked by GetRecords, and for tags
    assert "PutRecords" in in_words
    assert in_words - {""} <= called
