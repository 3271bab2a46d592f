"""Our programs that call llama.cpp in processes of their own."""

from __future__ import annotations

import sys


def program(name: str, *arguments: str) -> list[str]:
    """The command line of a module beside this one.

    Args:
        name: of the module, ``host``, ``quantiser`` or ``words``.
        arguments: for it.
    """
    # -P: a file of the user's named like a module of ours must not be imported instead.
    return [sys.executable, "-P", "-m", f"{__package__}.{name}", *arguments]
