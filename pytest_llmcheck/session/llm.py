"""`llm`: what a test asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.types import Fingerprint, Prompt, Sampling
from pytest_llmcheck.errors import ConfigError, LlmcheckError
from pytest_llmcheck.session.arguments import check_sampled, check_sampling, continuation_of
from pytest_llmcheck.session.asking import Asking, Conversation, Manner
from pytest_llmcheck.session.constrained import ConstrainedAndFree
from pytest_llmcheck.session.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llmcheck.engines.count import Count
    from pytest_llmcheck.engines.reply import Reply
    from pytest_llmcheck.engines.score import Score
    from pytest_llmcheck.models import ModelSpec, ResolvedModel
    from pytest_llmcheck.prompts import Messages
    from pytest_llmcheck.schema_given import Schema
    from pytest_llmcheck.session.run import Run


class LLM:
    """A model to talk to. Made by the fixtures `llm` and `llms`; thread-safe, lives for the session."""

    def __init__(self, run: Run, model: ResolvedModel) -> None:
        self._asking = Asking(run, model)

    @property
    def spec(self) -> ModelSpec:
        """The declared model."""
        return self._asking.spec

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the model alone: greedy, and with no prompt."""
        __tracebackhide__ = True
        asking = self._asking
        try:
            settings = asking.settings
            info = asking.run.answers.info(settings)
            template = asking.prompts.template(tools=False)
            return asking.fingerprint(info, template, Prompt("", ()), Sampling(), 0, settings)
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def chat(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_k: int = Sampling().top_k,
        top_p: float = Sampling().top_p,
        min_p: float = Sampling().min_p,
        seed: int = 0,
        tools: Sequence[dict[str, Any]] | None = None,
        constrain: Schema | None = None,
        **template_variables: Any,
    ) -> Reply:
        """Ask and wait for the whole reply. Greedy unless a temperature is given.

        Args:
            messages: the user's text, or a list of messages with `role` and `content`.
            system: the system prompt; else that of the mark, else that of the model.
            max_tokens: bound of the reply; else that of the mark, else that of the configuration.
            temperature: 0 for greedy decoding.
            top_k: see `Sampling`.
            top_p: see `Sampling`.
            min_p: see `Sampling`.
            seed: see `Sampling`.
            tools: tool definitions for the template.
            constrain: a JSON Schema, given as to `matches_schema`, or a grammar in llama.cpp's GBNF, that the
                text is held to while it is decoded. It is no proof: judge the reply all the same.
            template_variables: what else the chat template reads, such as ``enable_thinking``.

        Raises:
            PromptError: the messages make no prompt, it does not fit the context, or the schema cannot be
                kept.
            ConfigError: an unknown argument.
            EngineError: the model cannot be loaded or its host died.
        """
        __tracebackhide__ = True
        sampling = check_sampling(
            Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        )
        try:
            conversation = Conversation(messages, system, tools, template_variables)
            question = self._asking.question(conversation, Manner(sampling, max_tokens, constrain))
            (reply,) = self._asking.ask([question])
        except LlmcheckError as error:
            # The user's line and the message say all; the frames between are ours.
            raise error.with_traceback(None) from None
        return reply

    def chat_many(
        self,
        conversations: Iterable[Messages],
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_k: int = Sampling().top_k,
        top_p: float = Sampling().top_p,
        min_p: float = Sampling().min_p,
        seed: int = 0,
        tools: Sequence[dict[str, Any]] | None = None,
        constrain: Schema | None = None,
        **template_variables: Any,
    ) -> list[Reply]:
        """Ask many things at once; they are decoded together, and each reply is what `chat` would have given.

        Args:
            conversations: what `chat` takes as messages, one for each reply; a single text is an error.
            system: this and all others as for `chat`, the same for all.
            max_tokens: see `chat`.
            temperature: see `chat`.
            top_k: see `chat`.
            top_p: see `chat`.
            min_p: see `chat`.
            seed: see `chat`.
            tools: see `chat`.
            constrain: see `chat`.
            template_variables: see `chat`.

        Returns:
            The replies, in the order of the conversations.

        Raises:
            LlmcheckError: as `chat`, for the first that cannot be answered.
        """
        __tracebackhide__ = True
        sampling = check_sampling(
            Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        )
        if isinstance(conversations, str):
            raise ConfigError("chat_many takes a list with one entry for each reply; for one text, use chat")
        try:
            manner = Manner(sampling, max_tokens, constrain)
            given = [Conversation(one, system, tools, template_variables) for one in conversations]
            return self._asking.ask([self._asking.question(one, manner) for one in given])
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def sample(
        self,
        messages: Messages,
        *,
        n: int,
        temperature: float,
        system: str | None = None,
        max_tokens: int | None = None,
        top_k: int = Sampling().top_k,
        top_p: float = Sampling().top_p,
        min_p: float = Sampling().min_p,
        seed: int = 0,
        tools: Sequence[dict[str, Any]] | None = None,
        constrain: Schema | None = None,
        **template_variables: Any,
    ) -> Samples:
        """Several replies to one prompt, decoded together; the prompt is computed once.

        They are asked for when they are first judged or looked at, so that a test that cannot be decided with
        so few samples fails before. The arguments are checked, and the prompt is rendered, at once.

        Args:
            messages: as for `chat`.
            n: how many replies.
            temperature: above 0; at 0 all would be the same reply.
            seed: of the first; reply i has ``seed + i``, and is what `chat` gives for that seed.
            system: see `chat`.
            max_tokens: see `chat`.
            top_k: see `chat`.
            top_p: see `chat`.
            min_p: see `chat`.
            tools: see `chat`.
            constrain: see `chat`.
            template_variables: see `chat`.

        Raises:
            LlmcheckError: as `chat`, partly when the replies are looked at; ConfigError also for `n` below 1
                and a temperature of 0.
        """
        __tracebackhide__ = True
        seeded = check_sampled(
            n, Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        )
        try:
            conversation = Conversation(messages, system, tools, template_variables)
            manners = [Manner(one, max_tokens, constrain) for one in seeded]
            return Samples.of(self._asking.later(conversation, manners), range(n))
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def constrained_and_free(
        self,
        messages: Messages,
        *,
        constrain: Schema,
        n: int,
        temperature: float,
        system: str | None = None,
        max_tokens: int | None = None,
        top_k: int = Sampling().top_k,
        top_p: float = Sampling().top_p,
        min_p: float = Sampling().min_p,
        seed: int = 0,
        tools: Sequence[dict[str, Any]] | None = None,
        **template_variables: Any,
    ) -> ConstrainedAndFree:
        """Samples of one prompt with and without a constraint, all decoded together.

        A grammar hides what a quantisation has broken. This tells what the model does without it, and how
        much the grammar does.

        Args:
            messages: as for `chat`.
            constrain: of the constrained ones, as for `chat`.
            n: how many replies of each kind.
            temperature: as for `sample`.
            seed: of the first reply of each kind. Equal seeds do not make equal draws: the constraint takes
                tokens away.
            system: see `chat`.
            max_tokens: see `chat`.
            top_k: see `chat`.
            top_p: see `chat`.
            min_p: see `chat`.
            tools: see `chat`.
            template_variables: see `chat`.

        Raises:
            LlmcheckError: as `sample`.
        """
        __tracebackhide__ = True
        seeded = check_sampled(
            n, Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        )
        if constrain is None:
            raise ConfigError("constrained_and_free needs constrain=: a JSON Schema or a grammar")
        try:
            conversation = Conversation(messages, system, tools, template_variables)
            manners = [Manner(one, max_tokens, held) for held in (constrain, None) for one in seeded]
            batch = self._asking.later(conversation, manners)
            return ConstrainedAndFree(Samples.of(batch, range(n)), Samples.of(batch, range(n, 2 * n)))
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def score(
        self,
        messages: Messages,
        continuation: str | Reply | Sequence[int],
        *,
        against: LLM | None = None,
        system: str | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        **template_variables: Any,
    ) -> Score:
        """How likely a given reply is to this model: one pass over prompt and reply, nothing is generated.

        Args:
            messages: as for `chat`.
            continuation: the reply: a text, token ids, or a `Reply` with the tokens it was made of, the one
                that ended it included.
            against: another model with the same vocabulary, whose distributions are compared with this one's
                over the whole vocabulary: `Score.divergence`. Both see this model's prompt.
            system: see `chat`.
            tools: see `chat`.
            template_variables: see `chat`.

        Raises:
            LlmcheckError: as `chat`; PromptError also for a continuation that is empty or does not fit.
        """
        __tracebackhide__ = True
        try:
            conversation = Conversation(messages, system, tools, template_variables)
            other = None if against is None else against._asking
            return self._asking.score(conversation, continuation_of(continuation), other)
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def render(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        **template_variables: Any,
    ) -> Prompt:
        """The prompt as the model would see it: text and token ids. Arguments as for `chat`."""
        __tracebackhide__ = True
        try:
            conversation = Conversation(messages, system, tools, template_variables)
            return self._asking.tokenise(self._asking.render(conversation))
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def count(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        **template_variables: Any,
    ) -> Count:
        """How many tokens the prompt has, part by part, and how many the context leaves for a reply.

        Nothing is generated, and no weights are loaded for it. Arguments as for `chat`.

        Raises:
            LlmcheckError: as `render`. A prompt that does not fit is no error here.
        """
        __tracebackhide__ = True
        try:
            return self._asking.count(Conversation(messages, system, tools, template_variables))
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def __repr__(self) -> str:
        return f"<llm {self.spec.name}: {self._asking.model.header.quant}>"
