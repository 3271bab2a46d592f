"""Names of a package that are imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def lazily(
    namespace: dict[str, Any], homes: Mapping[str, Iterable[str]], *, rest: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``.

    Args:
        namespace: the package's ``globals()``, with ``__all__``.
        homes: its modules, by their names below the package, and which public names each has.
        rest: the module that has all public names for which `homes` has none.
    """
    package: str = namespace["__name__"]
    home_of = {} if rest is None else dict.fromkeys(namespace["__all__"], rest)
    home_of |= {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Not kept here: whoever reloads a module, as pytester does, would get the old one's.
        return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)

    return get, lambda: list(namespace["__all__"])
