"""Support mail: find the order number, sort requests by topic.

Nobody tuned these prompts against the quantisations; README.md says how they were chosen.
"""

import pytest

from pytest_llmcheck import matches

pytestmark = pytest.mark.llm(max_tokens=24)


@pytest.mark.llm(system="Find the order number in the message. Reply in the form ORDER: number")
@pytest.mark.parametrize(
    ("message", "number"),
    [
        pytest.param("Hello, my order A-20417 has not arrived yet.", "A-20417", id="late"),
        pytest.param("I want to return order B-33190, the mug is broken.", "B-33190", id="broken"),
        pytest.param("Could you tell me when order C-58102 will be shipped?", "C-58102", id="open"),
    ],
)
def test_order_number(llm, message, number):
    reply = llm.chat(
        [
            {"role": "user", "content": "Where is my parcel D-71225?"},
            {"role": "assistant", "content": "ORDER: D-71225"},
            {"role": "user", "content": message},
        ]
    )
    reply.expect(matches(rf"\AORDER: {number}\Z"))


@pytest.mark.llm(
    system="You sort support requests by the topic. Reply with one word: printer, password or network."
)
@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param("The printer on the second floor prints only black pages.", id="printer"),
        pytest.param("I have no access to the network at my desk.", id="network"),
    ],
)
def test_topic(llm, llm_snapshot, request_text):
    """The answer is one word, so its exact text is a fair baseline."""
    reply = llm.chat(
        [
            {"role": "user", "content": "My printer is out of paper."},
            {"role": "assistant", "content": "printer"},
            {"role": "user", "content": "I forgot my password."},
            {"role": "assistant", "content": "password"},
            {"role": "user", "content": "The network is very slow today."},
            {"role": "assistant", "content": "network"},
            {"role": "user", "content": request_text},
        ]
    )
    assert reply == llm_snapshot(compare="text")
