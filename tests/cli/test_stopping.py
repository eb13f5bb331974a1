"""The end of a command: regular, or at once when the user has pressed Ctrl-C."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys
from portraittalk import cli
atexit.register(print, "regular exit")
cli.app = lambda: print("told") or sys.exit(int(sys.argv[1]))
cli.main()
"""


@pytest.mark.parametrize("code, told", [(130, "told\n"), (2, "told\nregular exit\n")])
def test_after_ctrl_c_nothing_waits_for_a_regular_exit(repository, code, told):
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    ended = subprocess.run([sys.executable, "-c", SCRIPT, str(code)], env=environment, capture_output=True, text=True)
    assert ended.returncode == code and ended.stdout == told
