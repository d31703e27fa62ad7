"""The environment that all tests run in: nothing of the user's, and the same on every machine.

It is set when this module is imported, as libraries read it when they are; workers of pytest-xdist inherit it.
"""

from __future__ import annotations

import os
import re
from tempfile import TemporaryDirectory

OF_THE_MACHINE = re.compile(
    r"PATH|VIRTUAL_ENV|PYTHON(PATH|HASHSEED)|TMPDIR|TEMP|TMP|SYSTEMROOT|COMSPEC|WINDIR|CI|ENERV_ZOO_(PROCESSES|BROWSER|ORT_WEB)"
    r"|TERM|PY_COLORS|(PYTEST|LD|DYLD|CUDA|NVIDIA|OMP|MKL|ATEN|ONEDNN)_.*"
)
"""Variables that stay: those that a process needs to start, those of numeric libraries, and those that pytest reads."""
TERMINAL = {"COLUMNS": "200", "LINES": "50"}
WORKER = "PYTEST_XDIST_WORKER" in os.environ

if WORKER:  # as many of them as cores; threads of several would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
else:  # no home, cache, token, proxy, locale or setting of the user's
    home = TemporaryDirectory(prefix="enerv-zoo-home-", ignore_cleanup_errors=True)  # removed when Python ends
    for name, colour in (("NO_COLOR", "0"), ("FORCE_COLOR", "1")):
        if os.environ.get(name):
            os.environ.setdefault("PY_COLORS", colour)  # which pytest alone reads
    for name in [name for name in os.environ if not OF_THE_MACHINE.fullmatch(name)]:
        del os.environ[name]
    os.environ |= dict.fromkeys(("HOME", "USERPROFILE"), home.name) | dict.fromkeys(("USER", "LOGNAME"), "tester")

# Some tests ask for more threads than there are cores; where those spin, each waits for one that has no core. It is
# decided as PyTorch loads its OpenMP library; child processes decide for themselves.
_as_asked = "OMP_WAIT_POLICY" in os.environ
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch  # noqa: E402, F401

if not _as_asked:
    del os.environ["OMP_WAIT_POLICY"]
