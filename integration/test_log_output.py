"""A real standard error that is stuck or closed: the log loses lines, and nothing else happens."""

import subprocess
import sys


def in_another_process(program: str, setup: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose standard error is as `setup` makes it; it must end by itself."""
    start = "import logging, os, sys\nfrom kcl_py.log_output import writing\n"
    starter = f"import os, sys\n{setup}\nos.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    return subprocess.run(
        [sys.executable, "-c", starter, start + program], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_standard_error_that_nobody_reads_does_not_keep_the_process_from_ending() -> None:
    full_pipe = """
kept, given = os.pipe()
os.set_inheritable(kept, True)
os.set_blocking(given, False)
try:
    while True:
        os.write(given, bytes(4096))
except BlockingIOError:
    os.set_blocking(given, True)
os.dup2(given, 2)
"""
    program = """
with writing("text", logging.INFO):
    logging.getLogger("kcl_py").info("nobody reads this")
print("done")
"""
    ended = in_another_process(program, full_pipe)

    assert ended.returncode == 0
    assert ended.stdout == "done\n"


def test_a_closed_standard_error_is_not_mistaken_for_what_has_its_number_now() -> None:
    program = """
import tempfile
with tempfile.TemporaryFile(buffering=0) as unrelated:
    os.dup2(unrelated.fileno(), 2)
    with writing("text", logging.INFO):
        logging.getLogger("kcl_py").info("not for you")
    print(os.fstat(2).st_size)
"""
    ended = in_another_process(program, "os.close(2)")

    assert ended.stdout == "0\n"
