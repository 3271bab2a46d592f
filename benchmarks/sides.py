"""The sides of the comparison on 64 chats, and the comparison.

A side is given the same messages, the same threads and the same bound of 48 tokens, and decodes greedily.
Replies may end before the bound, and not on every side at the same token, so what is compared is tokens/s
over the whole round, prompts included; the token that ends a reply counts, since it was decoded. Nothing is
suppressed. That the prompts have the same number of tokens on all sides is checked. Every round has a
system prompt of its own (see `chats`), so nothing is left over from the one before; loading and one chat to
warm up are not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import table
from benchmarks.chats import LIMIT, conversations
from benchmarks.models import ladder
from benchmarks.ours import host
from pytest_llmcheck.engines.types import Request
from pytest_llmcheck.prompts import normalise, template_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.options import Options
    from pytest_llmcheck.models import ResolvedModel


class Outcome(NamedTuple):
    """Seconds of a round, tokens of the replies, tokens of the prompts."""

    seconds: float
    tokens: int
    prompts: int

    @property
    def speed(self) -> float:
        """Tokens of the replies per second."""
        return self.tokens / self.seconds


Side = Callable[[list[list[dict[str, str]]], int], Outcome]
Opened = Callable[["ResolvedModel", "Options"], AbstractContextManager[Side]]


def ours(top: int, width: int = 4) -> Opened:
    """Our host, given all chats at once; rendering them is part of the time."""

    @contextmanager
    def opened(model: ResolvedModel, options: Options) -> Iterator[Side]:
        template = template_of(model.header, model.spec, tools=False)
        with host(model, options, width=width) as engine:

            def run(chats: list[list[dict[str, str]]], max_tokens: int) -> Outcome:
                started = perf_counter()
                tickets = [
                    engine.submit(
                        Request(
                            prompt=template.render(normalise(messages)),
                            max_tokens=max_tokens,
                            top_logprobs=top,
                        )
                    )
                    for messages in chats
                ]
                timings = [ticket.result().timings for ticket in tickets]
                seconds = perf_counter() - started
                return Outcome(
                    seconds, sum(t.reply_tokens for t in timings), sum(t.prompt_tokens for t in timings)
                )

            yield run

    return opened


def contest(
    options: Options,
    mine: Mapping[str, tuple[Opened, float]],
    against: tuple[str, Opened],
    *,
    share: float = 1.0,
) -> None:
    """Print a line for each of ours against the other side, for each model.

    Args:
        options: see `Options`.
        mine: our sides by name, with the ratio to reach.
        against: name of the other side, and the side.
        share: of the chats that the other side gets. One that answers them one after the other is as fast
            with a quarter of them.
    """
    count, limit = (8, 12) if options.quick else (64, LIMIT)
    name, other = against
    for model in ladder(*options.quants):
        with ExitStack() as stack:
            sides = {key: stack.enter_context(side(model, options)) for key, (side, _) in mine.items()}
            sides[name] = stack.enter_context(other(model, options))
            speeds: dict[str, list[float]] = {key: [] for key in sides}
            for side in sides.values():
                side(conversations(-1, 1), 4)
            for round_ in range(options.rounds):
                chats = conversations(round_, count)
                some = chats[: round(count * share)]
                outcomes = {key: side(some if key == name else chats, limit) for key, side in sides.items()}
                prompts = {key: outcome.prompts for key, outcome in outcomes.items()}
                if share == 1.0:
                    assert len(set(prompts.values())) == 1, f"the prompts differ: {prompts}"
                for key, outcome in outcomes.items():
                    speeds[key].append(outcome.speed)
            replies = ", ".join(f"{key} {outcome.tokens}" for key, outcome in outcomes.items())
            for key, (_, goal) in mine.items():
                table.line(
                    f"{model.spec.quant}, {key} against {name}",
                    speeds[key],
                    speeds[name],
                    unit="tokens/s",
                    goal=goal,
                )
            prompt = next(iter(outcomes.values())).prompts / count
            print(
                f"<!-- {model.spec.quant}: {prompt:.0f} tokens a prompt; replies, last round: {replies} -->",
                flush=True,
            )
