"""An announcement becomes a calendar entry; what the reference wrote is the baseline.

Nobody tuned the prompt against the quantisations; README.md says how it was chosen.
"""

import pytest


@pytest.mark.llm(
    max_tokens=64,
    system='You write calendar entries. Reply with one flat JSON object with the keys "title", "city" '
    'and "day" (strings), nothing else.',
)
def test_calendar_entry(llm, llm_snapshot):
    reply = llm.chat(
        [
            {"role": "user", "content": "The chess club meets in Vienna on Monday."},
            {"role": "assistant", "content": '{"title": "chess club", "city": "Vienna", "day": "Monday"}'},
            {"role": "user", "content": "Our book fair is in Lisbon on Sunday."},
        ]
    )
    assert reply == llm_snapshot(compare="json")
