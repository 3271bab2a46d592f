from pytest_llmcheck import calls

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
# A model this small calls nothing by itself: the frame is given, the city is its own.
A_CALL = r"""
root ::= "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"" city "\"}}\n</tool_call>"
city ::= [A-Za-z ]+
"""


def test_the_city(llm):
    reply = llm.chat("Will it rain in Berlin tomorrow?", tools=[WEATHER], constrain=A_CALL)
    reply.expect(calls("get_weather", city="Berlin"))
