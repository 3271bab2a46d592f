"""Engines answer requests. `llama` is the local one; only it imports llama_cpp."""
