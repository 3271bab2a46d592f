"""A registration form is filled in from what a visitor says.

Nobody tuned these prompts against the quantisations; README.md says how they were chosen.
"""

import pytest

from pytest_llmcheck import matches_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

pytestmark = pytest.mark.llm(max_tokens=64)


@pytest.mark.llm_cases("people.jsonl")
def test_person(llm, sentence, name, age):
    reply = llm.chat(
        'Extract the person as a flat JSON object with the keys "name" and "age". '
        f"Reply with JSON only.\n\nText: {sentence}"
    )
    reply.expect(matches_schema(PERSON))
    assert reply.json() == {"name": name, "age": age}


@pytest.mark.llm(
    system='You extract data. Reply with one flat JSON object with the keys "name" (string) and "age" '
    "(number), nothing else."
)
@pytest.mark.parametrize(
    ("sentence", "name", "age"),
    [
        pytest.param("Anna is 31 years old.", "Anna", 31, id="anna"),
        pytest.param("Tom, who is 45, lives in Leeds.", "Tom", 45, id="tom"),
    ],
)
def test_person_after_an_example(llm, sentence, name, age):
    """One worked example in the prompt makes even a poor quantisation hold."""
    reply = llm.chat(
        [
            {"role": "user", "content": "Frank is 58 years old."},
            {"role": "assistant", "content": '{"name": "Frank", "age": 58}'},
            {"role": "user", "content": sentence},
        ]
    )
    reply.expect(matches_schema(PERSON))
    assert reply.json() == {"name": name, "age": age}
