"""DeepSeek: a header and a JSON object, in R1 and V3.1; tagged arguments since V3.2."""
# ruff: noqa: RUF001 - the wide bars are those of the tokens

from __future__ import annotations

from pytest_llmcheck.prompts.tool_calls.headed_calls import NAME, HeadedCalls
from pytest_llmcheck.prompts.tool_calls.tagged_calls import KEYED, NAMED, TaggedCalls

DEEPSEEK = (
    HeadedCalls(
        name="deepseek-r1",
        example="<｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n```json\n{...}\n```<｜tool▁call▁end｜>",
        needs=("<｜tool▁call▁begin｜>", "```json"),
        begins="<｜tool▁call▁begin｜>",
        header=rf"<｜tool▁call▁begin｜>\w{{0,20}}<｜tool▁sep｜>{NAME}\s{{0,4}}```json",
        closing=("```<｜tool▁call▁end｜>", "```\n<｜tool▁call▁end｜>"),
    ),
    HeadedCalls(
        name="deepseek-v3.1",
        example="<｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}<｜tool▁call▁end｜>",
        needs=("<｜tool▁call▁begin｜>",),
        lacks=("```json",),
        begins="<｜tool▁call▁begin｜>",
        header=rf"<｜tool▁call▁begin｜>{NAME}<｜tool▁sep｜>",
        closing=("<｜tool▁call▁end｜>",),
    ),
    TaggedCalls(
        name="dsml",
        example='<｜DSML｜invoke name="..."><｜DSML｜parameter name="..." string="true">...',
        needs=("dsml_token", "DSML"),
        begins="<｜DSML｜invoke name=",
        opening=f"<｜DSML｜invoke name={NAMED}>",
        argument=f'<｜DSML｜parameter name={KEYED} string="(?P<kind>true|false)">',
        value_end="</｜DSML｜parameter>",
        closing="</｜DSML｜invoke>",
    ),
)
