"""Cases from a file, one to a line, without pytest; `pytest_llmcheck.case_tests` binds them to tests."""

from pytest_llmcheck.cases.case import CHECKS, BadLine, Case, CaseFile
from pytest_llmcheck.cases.reading import SUFFIXES, read_cases

__all__ = ["CHECKS", "SUFFIXES", "BadLine", "Case", "CaseFile", "read_cases"]
