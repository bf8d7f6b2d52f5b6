"""Commands in a copy of the package, each in a fork of one process that has imported what takes long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: what the process runs: nothing of it may list searches or run a kernel, so that a fork is as good as a new process
SERVER = """
import importlib, json, os, sys
sys.dont_write_bytecode = True
import bokeh.plotting, pandas, pytest, scipy.optimize
import belle2dark.cli, belle2dark.check, belle2dark.notebook, belle2dark.point, belle2dark.scaffold, belle2dark.terminal
MAIN = {"belle2dark": belle2dark.cli.main, "pytest": pytest.main}
for line in sys.stdin:
    module, argv, out, err = json.loads(line)
    child = os.fork()
    if child == 0:
        for name, number in ((out, 1), (err, 2)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        importlib.invalidate_caches()
        code = 70
        try:
            code = int(MAIN[module](argv) or 0)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """``run("belle2dark" or "pytest", ...)`` answers as ``python -m`` does in ``folder``, without its imports."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], scratch: Path) -> None:
        self.folder, self._process, self._scratch = folder, process, scratch

    def run(self, module: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Exit code and what was written to standard output and error."""
        files = [self._scratch / name for name in ("out", "err")]
        ask, answer = self._process.stdin, self._process.stdout
        assert ask is not None and answer is not None
        ask.write(json.dumps([module, list(argv), *map(str, files)]) + "\n")
        ask.flush()
        code = answer.readline()
        assert code, "the process ended"
        return subprocess.CompletedProcess(argv, int(code), *(file.read_text(encoding="utf-8") for file in files))


@contextmanager
def forks(folder: Path, **environment: str) -> Iterator[Forks]:
    """A process in ``folder`` that imports the package from there, and ends with the context."""
    known = {**os.environ, "PYTHONPATH": str(folder), **environment}
    with tempfile.TemporaryDirectory() as scratch:
        process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   cwd=folder, env=known)  # fmt: skip
        try:
            yield Forks(folder, process, Path(scratch))
        finally:
            process.communicate()  # closes its input, and it ends
