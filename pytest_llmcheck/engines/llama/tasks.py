"""What a slot works on: a prompt to be continued, or a continuation to be scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from time import perf_counter
from typing import TYPE_CHECKING

from pytest_llmcheck.engines.llama.canonical import chunks
from pytest_llmcheck.engines.llama.prefixes import edges_of
from pytest_llmcheck.engines.llama.rows import RowsReader, RowsWriter
from pytest_llmcheck.engines.llama.sampling import Sampler
from pytest_llmcheck.engines.llama.vocabulary import Detokeniser
from pytest_llmcheck.engines.types import Completion, Request, ScoreRequest, Scoring, Timings, Token
from pytest_llmcheck.errors import EngineError, PromptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmcheck.engines.llama.canonical import Row, Rows
    from pytest_llmcheck.engines.llama.grammar import GrammarState
    from pytest_llmcheck.engines.llama.vocabulary import Vocabulary
    from pytest_llmcheck.engines.types import FinishReason

    Answer = Completion | Scoring


class Task(ABC):
    """One request on its way through a slot.

    Args:
        request: what was asked.
        tokens: all tokens to be prefilled.
        n_ctx: tokens that the slot can hold.
        received: `perf_counter` when the request arrived.
        abandoned: whether nobody waits for the answer any more.
        finished: called once, with the answer or the error.

    Attributes:
        slot: where it is worked on; None while it waits.
        filled: tokens of the prompt that the slot holds.
    """

    def __init__(
        self,
        request: Request | ScoreRequest,
        tokens: list[int],
        *,
        n_ctx: int,
        received: float,
        abandoned: Callable[[], bool],
        finished: Callable[[Answer | Exception], None],
    ) -> None:
        self.timeout = request.timeout
        self.top_logprobs = request.top_logprobs
        self.tokens = tokens
        self.n_ctx = n_ctx
        self.abandoned = abandoned
        self.edges = edges_of(tokens)
        self.slot: int | None = None
        self.filled = 0
        self.reused = 0
        self.company = 0
        self.received = received
        self.started = math.nan
        self._finished = finished
        self._ends = dict(chunks(len(tokens)))

    @property
    @abstractmethod
    def wanted(self) -> int:
        """The first position whose logits are wanted."""

    @property
    @abstractmethod
    def reusable(self) -> int:
        """How many tokens of the prompt may come from the prefix store."""

    @property
    def prefilled(self) -> bool:
        """Whether the whole prompt has been decoded."""
        return self.filled == len(self.tokens)

    @property
    def next_chunk(self) -> tuple[int, int]:
        """The next part of the prompt to decode."""
        return self.filled, self._ends[self.filled]

    @abstractmethod
    def absorb(self, rows: Rows) -> bool:
        """Take the logits of wanted positions of one chunk; whether the task goes on to be decoded.

        Only asked when there are such rows. After the last chunk, a task that does not go on has its answer.
        """

    @abstractmethod
    def answer(self) -> Answer:
        """The result, once nothing is left to do."""

    def finish(self) -> None:
        """Give the answer to whoever waits."""
        try:
            answer: Answer | Exception = self.answer()
        except (EngineError, PromptError, OSError) as error:
            answer = error
        self.give(answer)

    def give(self, answer: Answer | Exception) -> None:
        """Give the answer, or an error in its place, and let go of everything."""
        self.close()
        self._finished(answer)

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held besides the slot, which is the scheduler's."""

    def overdue(self, now: float) -> bool:
        """Whether the time limit is over."""
        return now - self.started > self.timeout

    def too_late(self) -> EngineError:
        """What to say then."""
        return EngineError(
            f"no reply within the time limit of {self.timeout:g} s ({len(self.tokens)} prompt tokens, "
            f"{self.done} reply tokens so far): raise `timeout` in [tool.llmcheck] or lower max_tokens"
        )

    @property
    def done(self) -> int:
        """Tokens of the reply so far."""
        return 0


class Generation(Task):
    """A prompt to be continued until the model ends it or a bound is reached."""

    def __init__(
        self,
        request: Request,
        vocabulary: Vocabulary,
        *,
        n_ctx: int,
        received: float,
        abandoned: Callable[[], bool],
        finished: Callable[[Answer | Exception], None],
    ) -> None:
        # A beginning-of-sequence token alone is no prompt either.
        prompt = vocabulary.tokenise(request.prompt, request.plain) if request.prompt else []
        check_length(len(prompt), n_ctx)
        super().__init__(
            request, prompt, n_ctx=n_ctx, received=received, abandoned=abandoned, finished=finished
        )
        self._request = request
        self._vocabulary = vocabulary
        self._describer = vocabulary.describer
        self._sampler = Sampler(request.sampling)
        self._text = Detokeniser(vocabulary)
        self._ignored: tuple[str, ...] = ()
        self._grammar: GrammarState | None = None
        if request.constraint is not None:
            # Few requests need it, and its import takes its time.
            from pytest_llmcheck.engines.llama.grammar import GrammarState, compile_constraint

            compiled = compile_constraint(request.constraint)
            self._ignored = compiled.ignored
            self._grammar = GrammarState(compiled, vocabulary)
        self._reply: list[Token] = []
        self._end: Token | None = None
        self._reason: FinishReason = "stop"
        self._prefilled_at = self._first_at = math.nan
        self.next_token = 0

    @property
    def wanted(self) -> int:
        """Only the last position's."""
        return len(self.tokens) - 1

    @property
    def reusable(self) -> int:
        """All: the state after a whole prompt is kept with its logits."""
        return len(self.tokens)

    @property
    def done(self) -> int:
        """Tokens of the reply so far."""
        return len(self._reply)

    @property
    def left(self) -> int:
        """Tokens that the reply may still get."""
        return min(self._request.max_tokens, self.n_ctx - len(self.tokens) + 1) - self.done

    def absorb(self, rows: Rows) -> bool:
        """The logits after the prompt: choose the first token."""
        self._prefilled_at = perf_counter()
        return self.advance(rows[-1])

    def advance(self, row: Row) -> bool:
        """Choose the next token; False where the reply is complete with it.

        Raises:
            EngineError: the logits are not finite, or the grammar allows nothing.
        """
        best = int(row.argmax())
        if self._grammar is None:
            chosen = self._sampler.choose(row, best)
        else:
            chosen = self._grammar.choose(row, self._sampler)
            self._grammar.accept(chosen)
        token = self._describer.describe(row, chosen, self.top_logprobs, best)
        if math.isnan(self._first_at):
            self._first_at = perf_counter()
        if chosen in self._vocabulary.end_of_generation:
            self._end, self._reason = token, "stop"
            return False
        self._reply.append(token)
        self._text.add(chosen)
        if len(self._reply) >= self._request.max_tokens:
            self._reason = "length"
            return False
        if len(self.tokens) + len(self._reply) > self.n_ctx:
            self._reason = "context"
            return False
        self.next_token = chosen
        return True

    def answer(self) -> Completion:
        """The whole reply."""
        ended = perf_counter()
        timings = Timings(
            queued=self.started - self.received,
            prefill=self._prefilled_at - self.started,
            ttft=self._first_at - self.started,
            decode=ended - self._first_at,
            total=ended - self.started,
            prompt_tokens=len(self.tokens),
            reply_tokens=len(self._reply) + (self._end is not None),
            reused_tokens=self.reused,
            company=self.company,
        )
        marked, controls = self._text.marked()
        return Completion(
            text=self._text.text(),
            finish_reason=self._reason,
            tokens=tuple(self._reply),
            end=self._end,
            prompt_ids=tuple(self.tokens),
            timings=timings,
            ignored=self._ignored,
            marked=marked,
            controls=controls,
        )

    def close(self) -> None:
        """Free the grammar."""
        if self._grammar is not None:
            self._grammar.close()
            self._grammar = None


class Score(Task):
    """A given continuation, whose log-probabilities come from one prefill (teacher forcing)."""

    def __init__(
        self,
        request: ScoreRequest,
        vocabulary: Vocabulary,
        *,
        n_ctx: int,
        received: float,
        abandoned: Callable[[], bool],
        finished: Callable[[Answer | Exception], None],
    ) -> None:
        prompt = vocabulary.tokenise(request.prompt, request.plain) if request.prompt else []
        given = request.continuation
        continuation = vocabulary.tokenise_text(given) if isinstance(given, str) else list(given)
        check_continuation(continuation, vocabulary.size)
        check_length(len(prompt), n_ctx)
        # The last token is only predicted, never decoded.
        tokens = [*prompt, *continuation[:-1]]
        if len(tokens) > n_ctx:
            raise PromptError(
                f"prompt and continuation have {len(prompt)} + {len(continuation)} tokens and the context "
                f"holds {n_ctx}: raise n_ctx for this model or test"
            )
        super().__init__(
            request, tokens, n_ctx=n_ctx, received=received, abandoned=abandoned, finished=finished
        )
        self._vocabulary = vocabulary
        self._describer = vocabulary.describer
        self._prompt = prompt
        self._continuation = continuation
        self._scored: list[Token] = []
        self._writer = RowsWriter(request.write_rows, vocabulary.size) if request.write_rows else None
        self._reader = (
            RowsReader(request.read_rows, len(continuation), vocabulary.size) if request.read_rows else None
        )

    @property
    def wanted(self) -> int:
        """All from the last token of the prompt on."""
        return len(self._prompt) - 1

    @property
    def reusable(self) -> int:
        """What is before the first wanted position."""
        return self.wanted

    def absorb(self, rows: Rows) -> bool:
        """Logits that predict the next tokens of the continuation."""
        first = len(self._scored)
        for row, given in zip(rows, self._continuation[first:], strict=False):
            best = int(row.argmax())
            self._scored.append(self._describer.describe(row, given, self.top_logprobs, best))
        if self._writer is not None:
            self._writer.write(rows)
        if self._reader is not None:
            self._reader.compare(rows)
        return False

    def answer(self) -> Scoring:
        """Log-probabilities of the whole continuation."""
        ended = perf_counter()
        if self._writer is not None:
            self._writer.finish()
        timings = Timings(
            queued=self.started - self.received,
            prefill=ended - self.started,
            ttft=ended - self.started,
            decode=0.0,
            total=ended - self.started,
            prompt_tokens=len(self._prompt),
            reply_tokens=len(self._continuation),
            reused_tokens=self.reused,
            company=self.company,
        )
        reader = self._reader
        return Scoring(
            tokens=tuple(self._scored),
            prompt_ids=tuple(self._prompt),
            timings=timings,
            divergence=() if reader is None else tuple(reader.divergence),
            same_top=() if reader is None else tuple(reader.same_top),
        )

    def close(self) -> None:
        """Remove a file of rows that was not finished."""
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.close()


def check_length(prompt: int, n_ctx: int) -> None:
    """A prompt needs at least one token and must leave room for one; it is never truncated.

    Raises:
        PromptError: with the remedy.
    """
    if prompt == 0:
        raise PromptError("the prompt is empty: the template rendered no text at all")
    if prompt >= n_ctx:
        raise PromptError(
            f"the prompt has {prompt} tokens and the context holds {n_ctx}, the reply included: shorten the "
            f"messages, or raise n_ctx above {prompt} for this model or test"
        )


def check_continuation(tokens: list[int], n_vocab: int) -> None:
    """A continuation has tokens, and the vocabulary has them.

    Raises:
        PromptError: it is empty, or holds an id that this model does not know.
    """
    if not tokens:
        raise PromptError("the continuation is empty: there is nothing to score")
    if strange := [token for token in tokens if not 0 <= token < n_vocab]:
        raise PromptError(
            f"token {strange[0]} of the continuation is not in the vocabulary of {n_vocab}: was it recorded "
            "with another model?"
        )
