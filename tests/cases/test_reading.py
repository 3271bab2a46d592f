"""Files of cases: what is read, the ids, and every mistake with its place."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_llmcheck import ConfigError
from pytest_llmcheck.cases import BadLine, Case, CaseFile, read_cases

if TYPE_CHECKING:
    from pathlib import Path

# Any text that UTF-8 can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = TEXTS.filter(lambda name: name != "id" and name.strip() != "")
OBJECTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)

# Each example writes a file.
FEW = settings(max_examples=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


def read(folder: Path, text: str | bytes, name: str = "cases.jsonl", id_field: str | None = None) -> CaseFile:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_cases(path, id_field=id_field, shown=name)


def good(file: CaseFile) -> list[Case]:
    return [case for case in file.lines if isinstance(case, Case)]


def problems(file: CaseFile) -> list[str]:
    return [line.problem for line in file.lines if isinstance(line, BadLine)]


def ids(file: CaseFile) -> list[str]:
    return [line.id for line in file.lines]


def refused(folder: Path, text: str | bytes, name: str = "cases.jsonl", id_field: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, name, id_field)
    return str(caught.value)


def plain(value: object) -> str:
    return json.dumps(value, sort_keys=True)


class TestJsonLines:
    @FEW
    @given(st.lists(OBJECTS, min_size=1, max_size=5, unique_by=plain), st.booleans(), st.sampled_from("\n\r"))
    def test_what_is_written_is_read(
        self, folder: Path, objects: list[dict[str, Any]], escaped: bool, end: str
    ) -> None:
        lines = [json.dumps(fields, ensure_ascii=escaped) for fields in objects]
        file = read(folder, ("\r\n" if end == "\r" else "\n").join(lines))
        assert [dict(case) for case in good(file)] == objects
        assert problems(file) == []
        assert [case.source for case in good(file)] == [f"cases.jsonl:{n + 1}" for n in range(len(objects))]

    def test_types_are_kept(self, folder: Path) -> None:
        text = '{"a": 1, "b": 1.0, "c": true, "d": null, "e": [{"f": "1"}]}'
        (case,) = good(read(folder, text))
        assert repr(dict(case)) == "{'a': 1, 'b': 1.0, 'c': True, 'd': None, 'e': [{'f': '1'}]}"

    def test_blank_lines_and_a_byte_order_mark(self, folder: Path) -> None:
        file = read(folder, '\ufeff{"id": "a"}\n\n  \t\r\n{"id": "b"}\n\n')
        assert [case.source for case in good(file)] == ["cases.jsonl:1", "cases.jsonl:4"]

    def test_line_breaks_of_unicode_do_not_end_a_line(self, folder: Path) -> None:
        texts = ["a\u2028b", "a\u2029b", "a\x85b"]
        file = read(folder, "\n".join(f'{{"prompt": "{text}"}}' for text in texts), "cases.ndjson")
        assert [case["prompt"] for case in good(file)] == texts

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('{"id": "b", "a": 1', "not JSON at column 19: expected ',' or a closing bracket"),
            ('{"id": "b"} x', "not JSON at column 13: more text after the JSON value"),
            ('{"id": "b", "id": "c"}', "not JSON at column 13: the key 'id' occurs twice in one object"),
            ('{"id": "b", "a": NaN}', "not JSON at column 18: NaN, which JSON does not have"),
            ('# {"id": "b"}', "not JSON at column 1: expected a JSON value"),
            ("[1]", 'expected an object such as {"prompt": "Hello"}, got a list'),
            ("null", 'expected an object such as {"prompt": "Hello"}, got None'),
            ('{"id": "a"}', "the id 'a' is also that of line 1; give each case its own"),
            (
                '{"id": ""}',
                "the id (field 'id') must be a text of 1 to 100 characters or a whole number, got ''",
            ),
            (
                '{"id": 1.5}',
                "the id (field 'id') must be a text of 1 to 100 characters or a whole number, got 1.5",
            ),
            (
                '{"id": true}',
                "the id (field 'id') must be a text of 1 to 100 characters or a whole number, got True",
            ),
        ],
    )
    def test_a_bad_line_is_told_and_the_others_are_read(self, folder: Path, line: str, says: str) -> None:
        file = read(folder, f'{{"id": "a"}}\n\n{line}\n{{"id": "z"}}\n')
        assert ids(file) == ["a", "line_3", "z"]
        (problem,) = problems(file)
        assert problem.splitlines()[0] == f"cases.jsonl:3: {says}"

    def test_the_place_is_pointed_at(self, folder: Path) -> None:
        (problem,) = problems(read(folder, '{"id": "a"}\n{"id": "b", prompt: "Hi"}'))
        assert problem == (
            "cases.jsonl:2: not JSON at column 13: expected a key in double quotes\n"
            '{"id": "b", prompt: "Hi"}\n'
            "            ^"
        )

    @FEW
    @given(st.lists(OBJECTS, min_size=2, max_size=5, unique_by=plain), st.data())
    def test_a_damaged_line_costs_that_case_alone(
        self, folder: Path, objects: list[dict[str, Any]], data: st.DataObject
    ) -> None:
        lines = [json.dumps(fields) for fields in objects]
        whole = ids(read(folder, "\n".join(lines)))
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = lines[at][: data.draw(st.integers(1, len(lines[at]) - 1))]
        file = read(folder, "\n".join(lines))
        (problem,) = problems(file)
        assert problem.startswith(f"cases.jsonl:{at + 1}: not JSON at column ")
        assert ids(file) == [*whole[:at], f"line_{at + 1}", *whole[at + 1 :]]

    def test_no_line_is_good(self, folder: Path) -> None:
        said = refused(folder, "{\n" * 7).splitlines()
        assert said[0].startswith("cases.jsonl:1: not JSON at column 2: ")
        assert said[-1] == "... and 2 more lines"

    @pytest.mark.parametrize("depth", [*range(850, 1010, 10), 99_999])
    def test_a_line_that_is_nested_too_deeply_is_told(self, folder: Path, depth: int) -> None:
        """Which of the steps gives up first depends on the stack."""
        file = read(folder, f'{{"id": 1}}\n{{"a": {"[" * depth}{"]" * depth}}}')
        assert len(good(file)) == 2 or ":2: " in problems(file)[0]
        assert all("nested too deeply" in problem for problem in problems(file))
        assert depth < 1000 or problems(file)


QUOTE = "put a text that holds a , or a line break between double quotes"


def written(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> str:
    stream = io.StringIO(newline="")
    # Before Python 3.13 the writer leaves a lone "\r" bare, at which its own reader ends the record.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if end == "\n" else csv.QUOTE_MINIMAL
    csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return stream.getvalue()


class TestCsv:
    @FEW
    @given(st.data(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
    def test_what_is_written_is_read_with_the_lines_on_which_it_begins(
        self, folder: Path, data: st.DataObject, separator: str, end: str
    ) -> None:
        names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
        header = data.draw(
            st.lists(names.filter(lambda name: name != "id"), min_size=2, max_size=4, unique=True)
        )
        row = st.lists(TEXTS, min_size=len(header), max_size=len(header))
        rows = data.draw(st.lists(row, min_size=1, max_size=5, unique_by=tuple))
        text = written([header, *rows], separator, end)
        file = read(folder, text, "cases.tsv" if separator == "\t" else "cases.csv")
        assert [dict(case) for case in good(file)] == [dict(zip(header, row, strict=True)) for row in rows]
        assert problems(file) == []
        begins = [
            1 + len(re.findall("\r\n|\r|\n", written([header, *rows[:at]], separator, end)))
            for at in range(len(rows))
        ]
        assert [case.source.rpartition(":")[2] for case in good(file)] == [str(line) for line in begins]

    def test_a_quoted_line_break(self, folder: Path) -> None:
        text = '\ufeffid,prompt,note\n\na,"one\ntwo\n",\n\n"b","say ""hi"", you", x \n'
        first, second = good(read(folder, text, "cases.CSV"))
        assert dict(first) == {"id": "a", "prompt": "one\ntwo\n", "note": ""}
        assert dict(second) == {"id": "b", "prompt": 'say "hi", you', "note": " x "}
        assert (first.source, second.source) == ("cases.CSV:3", "cases.CSV:7")

    @pytest.mark.parametrize(
        ("header", "fields"),
        [
            ("a;b", {"a", "b"}),
            ("a,b;c", {"a", "b;c"}),
            ('"a,b";c', {"a,b", "c"}),
            ("a", {"a"}),
            ("a\tb", {"a\tb"}),
        ],
    )
    def test_the_separator(self, folder: Path, header: str, fields: set[str]) -> None:
        row = header.replace('"', "")
        file = read(folder, f"{header}\n{row if header[0] != chr(34) else 'x;y'}\n", "cases.csv")
        assert file.fields == fields

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("id,\na,b\n", "cases.csv:1: column 2 has no name; name every column in the header line"),
            ("\nid,a,a\n", "cases.csv:2: two columns are named 'a'; rename one of them"),
            (
                '"id,a\n1,2\n',
                'cases.csv:1: a quote (") is opened and never closed; nothing is read from here on',
            ),
            ("id,a\n", "cases.csv holds no cases; write one to a line"),
            ("", "cases.csv holds no cases; write one to a line"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, folder: Path, text: str, says: str) -> None:
        assert refused(folder, text, "cases.csv") == says

    @pytest.mark.parametrize(
        ("row", "says"),
        [
            ("2,b,c", f"expected 2 fields (id, a), got 3; {QUOTE}"),
            ("2", f"expected 2 fields (id, a), got 1; {QUOTE}"),
            ('2,"b', 'a quote (") is opened and never closed; nothing is read from here on'),
            ('2,"b"c', "not CSV: ',' expected after '\"'; nothing is read from here on"),
            (
                f"2,{'b' * 131_073}",
                "a field of more than 131072 characters; JSON Lines (.jsonl) has no such limit; "
                "nothing is read from here on",
            ),
            (",b", "the id (field 'id') must be a text of 1 to 100 characters or a whole number, got ''"),
            ("1,b", "the id '1' is also that of line 2; give each case its own"),
        ],
    )
    def test_a_bad_record(self, folder: Path, row: str, says: str) -> None:
        file = read(folder, f"id,a\n1,a\n{row}", "cases.csv")
        assert problems(file) == [f"cases.csv:3: {says}"]
        assert ids(file) == ["1", "line_3"]


class TestIds:
    @FEW
    @given(st.lists(OBJECTS, min_size=1, max_size=6, unique_by=plain), st.data())
    def test_other_lines_do_not_change_them(
        self, folder: Path, objects: list[dict[str, Any]], data: st.DataObject
    ) -> None:
        before = ids(read(folder, "\n".join(map(json.dumps, objects))))
        assert len(set(before)) == len(before)
        assert all(re.fullmatch("[a-z0-9_]+_[0-9a-f]{8}", id_) and len(id_) <= 41 for id_ in before)
        named = dict(zip(map(plain, objects), before, strict=True))
        kept = data.draw(st.permutations(objects))[data.draw(st.integers(0, len(objects) - 1)) :]
        new = data.draw(OBJECTS)
        assume(plain(new) not in named)
        after = ids(read(folder, "\n".join(map(json.dumps, [new, *kept]))))
        assert after[1:] == [named[plain(fields)] for fields in kept]

    @FEW
    @given(OBJECTS)
    def test_the_order_of_fields_does_not_change_them(self, folder: Path, fields: dict[str, Any]) -> None:
        turned = dict(reversed(fields.items()))
        assert ids(read(folder, json.dumps(fields))) == ids(read(folder, json.dumps(turned)))

    @FEW
    @given(OBJECTS, NAMES, VALUES)
    def test_another_content_has_another(
        self, folder: Path, fields: dict[str, Any], name: str, value: Any
    ) -> None:
        assume(plain(fields) != plain({**fields, name: value}))
        lines = [json.dumps(fields), json.dumps({**fields, name: value})]
        first, second = ids(read(folder, "\n".join(lines)))
        assert first != second

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"prompt": "What is 2 + 2?"}, "what_is_2_2"),
            ({"expected": "A text that is longer than it", "prompt": "Short"}, "short"),
            ({"a": "x", "question": "Which one is it?"}, "which_one_is_it"),
            ({"messages": [{"role": "user", "content": "Good morning"}]}, "good_morning"),
            ({"prompt": "Größe über alles"}, "grosse_uber_alles"),
            ({"prompt": "東京はどこ"}, "case"),
            ({"n": 4}, "case"),
            (
                {"prompt": "Please summarise the following article in one sentence"},
                "please_summarise_the_following",
            ),
            ({"prompt": "w" * 50}, "w" * 32),
        ],
    )
    def test_their_words(self, folder: Path, fields: dict[str, Any], words: str) -> None:
        (id_,) = ids(read(folder, json.dumps(fields)))
        assert id_[:-9] == words

    def test_of_a_field(self, folder: Path) -> None:
        text = '{"name": "Anna", "id": 1}\n{"name": 7}\n{"nmae": "Tom"}\n'
        file = read(folder, text, id_field="name")
        assert ids(file) == ["Anna", "7", "line_3"]
        assert problems(file) == [
            "cases.jsonl:3: has no field 'name', which is to be the id: did you mean 'nmae'?"
        ]

    def test_a_line_without_one_among_others(self, folder: Path) -> None:
        first, second = ids(read(folder, '{"id": 0}\n{"prompt": "Hello"}'))
        assert first == "0"
        assert second.startswith("hello_")

    def test_numbers_and_texts_that_look_alike(self, folder: Path) -> None:
        assert problems(read(folder, '{"id": 1}\n{"id": "1"}')) == [
            "cases.jsonl:2: the id '1' is also that of line 1; give each case its own"
        ]

    def test_two_lines_that_are_equal(self, folder: Path) -> None:
        assert problems(read(folder, '{"a": 1, "b": 2}\n\n{"b": 2, "a": 1}')) == [
            "cases.jsonl:3: says the same as line 1; take one of them away, or give each an 'id'"
        ]

    def test_a_bad_line_takes_no_ones_id(self, folder: Path) -> None:
        assert ids(read(folder, '{"id": "line_2"}\nx\n{"id": "line_2_"}')) == [
            "line_2",
            "line_2__",
            "line_2_",
        ]


class TestFile:
    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("case.jsonl", "case.jsonl does not exist: did you mean 'cases.jsonl'?"),
            ("zzz.csv", "zzz.csv does not exist: known: cases.jsonl"),
            ("data/cases.jsonl", "data/cases.jsonl does not exist, nor does its folder 'data'"),
            ("empty/cases.jsonl", "empty/cases.jsonl does not exist; its folder has no file of cases"),
            ("folder.csv", "folder.csv cannot be read: Is a directory"),
            (
                "cases.json",
                "cases.json: cases are read from files that end in .jsonl, .ndjson, .csv, .tsv, not '.json'",
            ),
            ("cases", "cases: cases are read from files that end in .jsonl, .ndjson, .csv, .tsv, not ''"),
        ],
    )
    def test_that_is_not_there(self, tmp_path: Path, name: str, says: str) -> None:
        (tmp_path / "cases.jsonl").write_text("{}", "utf-8")
        (tmp_path / "notes.txt").touch()
        (tmp_path / "empty").mkdir()
        if name == "folder.csv":
            (tmp_path / name).mkdir()
        with pytest.raises(ConfigError) as caught:
            read_cases(tmp_path / name, shown=name)
        assert str(caught.value) == says

    def test_that_is_not_utf8(self, folder: Path) -> None:
        said = refused(folder, '{"id": 1}\n{"id": "größe"}'.encode("latin-1"))
        assert said == "cases.jsonl:2: not UTF-8 (invalid start byte); save the file as UTF-8"

    def test_utf16(self, folder: Path) -> None:
        said = refused(folder, '{"id": 1}'.encode("utf-16"))
        assert said == "cases.jsonl:1: not UTF-8 (invalid start byte); save the file as UTF-8"

    def test_without_cases(self, folder: Path) -> None:
        assert refused(folder, "\n\n") == "cases.jsonl holds no cases; write one to a line"


class TestCase:
    def test_is_a_mapping(self, folder: Path) -> None:
        (case,) = good(read(folder, '{"id": "a", "prompt": "Hi"}'))
        assert case["prompt"] == case.get("prompt") == "Hi"
        assert case.get("other") is None
        assert "other" not in case
        assert {**case} == {"id": "a", "prompt": "Hi"} == case
        assert repr(case) == "<case 'a' of cases.jsonl:1>"

    def test_a_field_that_it_does_not_have(self, folder: Path) -> None:
        (case,) = good(read(folder, '{"id": "a", "prompt": "Hi"}'))
        with pytest.raises(KeyError) as caught:
            case["promt"]
        assert caught.value.args == (
            "the case at cases.jsonl:1 has no field 'promt': did you mean 'prompt'?",
        )
