"""The local engine: llama.cpp in a process of its own, on a path whose answers do not depend on company.

Only this room imports llama_cpp, and only in the programs `host` and `quantiser`: the test process talks
to them through `client` and `quantise` and never loads a native library.
"""
