"""Names as a terminal shows them, and commands as a shell takes them.

printable("Show [x265]\\n")                     # Show [x265]\\n, on one line
command("render", "my fit", "my fit.mp4")      # enerv-zoo render 'my fit' 'my fit.mp4'
"""

from __future__ import annotations

import re
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
"""Characters that show what follows them in another order than it stands."""
BACKSLASH = "\\"
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def printable(text: str) -> str:
    """Return a text as one line that a terminal only shows: codes that it would obey are written as escapes.

    Everything else stays as it is, brackets, wide characters, joined emoji and no-break spaces too. Bytes of a file's
    name that are not UTF-8 become `\\xff`.
    """
    return text if text.isprintable() else "".join(_escape(c) if _is_code(c) else c for c in text)


def quote(word: str, encoding: str = "utf-8") -> str:
    """Return a word as a POSIX shell reads it, on one line of printable text.

    A word with codes, or with characters that the terminal's `encoding` lacks, is written in `$'...'`, which bash, zsh,
    ksh and POSIX 2024 have. On Windows, words are as cmd reads them, and PowerShell too but for `"`, `$` and backticks.
    """
    plain = word.encode(encoding, "ignore").decode(encoding)
    if plain == word and not any(map(_is_code, word)):
        if sys.platform == "win32":
            from subprocess import list2cmdline  # elsewhere, nobody waits for it

            text = list2cmdline([word])
            if text.startswith('"') or re.fullmatch(r"[\w./\\:=+-]+", text):
                return text
            return f'"{text}{text[len(text.rstrip(BACKSLASH)) :]}"'  # those before the quote are doubled
        return shlex.quote(word)
    return "$'" + "".join(_octal(c) if _is_code(c) or c not in plain or c in "'\\" else c for c in word) + "'"


def command(name: str, *operands: str | Path, options: Sequence[str] = (), encoding: str = "utf-8") -> str:
    """Return a command of this package that can be pasted into a shell.

    Args:
        name: of the command, such as `"render"`.
        operands: paths and names; one that begins with a dash is written so that it is not taken for an option.
        options: with their values, in the order of the command line.
        encoding: of the terminal.
    """
    paths = [f"./{word}" if word.startswith("-") else word for word in map(str, operands)]
    return " ".join(quote(word, encoding) for word in ("enerv-zoo", name, *paths, *options))


def duration(seconds: float) -> str:
    """Return a time in the two largest of its units: 0.2 s, 36 s, 4 min 5 s, 1 h 2 min."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    values = {"h": hours, "min": minutes, "s": 0 if hours else rest}
    return " ".join(f"{value} {unit}" for unit, value in values.items() if value)


def clock(seconds: float) -> str:
    """Return a time that is running as `1:02:03` or `4:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount(count: int) -> str:
    """Format a count with three digits and the prefix of its unit: 151 G, 2.4 M."""
    value, prefixes = float(count), ["", "k", "M", "G", "T", "P"]
    while value >= 999.5 and len(prefixes) > 1:
        value, prefixes = value / 1000, prefixes[1:]
    return f"{value:.3g} {prefixes[0]}"


def _is_code(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or ord(character) in _REORDERING


def _escape(code: str) -> str:
    if 0xDC80 <= ord(code) <= 0xDCFF:  # a byte, as Python keeps it in a name
        return f"\\x{ord(code) - 0xDC00:02x}"
    return _SHORT.get(code) or code.encode("unicode_escape").decode("ascii")


def _octal(code: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in code.encode("utf-8", "surrogateescape"))
