"""Behaviour regression tests for language models that you host yourself."""
