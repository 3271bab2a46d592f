"""All benchmarks, one after the other, or those named; nothing else should be running.

python -m benchmarks [--rounds N] [--quick] [NAME ...]
"""

from __future__ import annotations

import importlib

from benchmarks.options import from_arguments, parser

NAMES = (
    "startup",
    "rendering",
    "checks",
    "decode",
    "together",
    "score",
    "waiting",
    "memory",
    "ahead",
    "server",
    "plain",
    "batch",
    "cache",
)
"""Those that take long come last."""


def main() -> None:
    """Run what was asked for."""
    asking = parser()
    asking.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (all)")
    given = asking.parse_args()
    if unknown := set(given.names) - {*NAMES, "fit"}:
        asking.error(
            f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}, fit"
        )
    options = from_arguments(given)
    for name in given.names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main(options)


main()
