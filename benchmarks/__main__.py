"""All benchmarks, one after the other; nothing else should be running."""

from benchmarks import decode, startup

startup.main()
decode.main()
