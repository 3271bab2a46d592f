"""`llm`: what a test asks."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pytest_llmcheck.engines.constraint import constraint_of
from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.engines.score import Score
from pytest_llmcheck.engines.types import Fingerprint, Prompt, Request, Sampling, ScoreRequest
from pytest_llmcheck.errors import ConfigError, LlmcheckError, PromptError
from pytest_llmcheck.session.arguments import (
    check_count,
    check_max_tokens,
    check_sampling,
    continuation_of,
)
from pytest_llmcheck.session.pool import settings_of, vocabulary_of
from pytest_llmcheck.session.rendering import Prompts
from pytest_llmcheck.session.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_llmcheck.engines.llama.settings import Info, Settings
    from pytest_llmcheck.engines.types import Scoring
    from pytest_llmcheck.models import ModelSpec, ResolvedModel
    from pytest_llmcheck.prompts import ChatTemplate, Messages
    from pytest_llmcheck.session.run import Run


class LLM:
    """A model to talk to. Made by the fixtures `llm` and `llms`; thread-safe, lives for the session."""

    def __init__(self, run: Run, model: ResolvedModel) -> None:
        self._run = run
        self._model = model
        self._prompts = Prompts(model)
        self._known: dict[int | None, Settings] = {}

    @property
    def spec(self) -> ModelSpec:
        """The declared model."""
        return self._model.spec

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the model alone: greedy, and with no prompt."""
        __tracebackhide__ = True
        try:
            info = self._run.answers.info(self._settings)
            return self._fingerprint(info, self._prompts.template(tools=False), Prompt("", ()), Sampling(), 0)
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
        constrain: dict[str, Any] | bool | str | None = None,
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
            constrain: a JSON Schema, or a grammar in llama.cpp's GBNF, that the text is held to while it is
                decoded. It is no proof: judge the reply all the same.
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
            asked = self._asked(messages, system, max_tokens, sampling, tools, constrain, template_variables)
            (reply,) = self._ask([asked])
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
        constrain: dict[str, Any] | bool | str | None = None,
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
            return self._ask(
                [
                    self._asked(one, system, max_tokens, sampling, tools, constrain, template_variables)
                    for one in conversations
                ]
            )
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
        constrain: dict[str, Any] | bool | str | None = None,
        **template_variables: Any,
    ) -> Samples:
        """Several replies to one prompt, decoded together; the prompt is computed once.

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
            LlmcheckError: as `chat`; ConfigError also for `n` below 1 and a temperature of 0.
        """
        __tracebackhide__ = True
        check_count("n", n)
        given = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        if check_sampling(given).greedy:
            raise ConfigError(
                "sample at temperature 0 is one answer repeated; give a temperature, or use chat"
            )
        seeded = [msgspec.structs.replace(given, seed=seed + i) for i in range(n)]
        check_sampling(seeded[-1])
        try:
            return Samples(
                self._ask(
                    [
                        self._asked(messages, system, max_tokens, one, tools, constrain, template_variables)
                        for one in seeded
                    ]
                )
            )
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
                that
                ended it included.
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
            text, template = self._render(messages, system, tools, template_variables)
            request = ScoreRequest(
                prompt=text, continuation=continuation_of(continuation), timeout=self._run.config.timeout
            )
            return self._score(request, template, against)
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
            text, _ = self._render(messages, system, tools, template_variables)
            return Prompt(text, self._run.answers.engine(self._settings).tokenise(text))
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def _asked(
        self,
        messages: Messages,
        system: str | None,
        max_tokens: int | None,
        sampling: Sampling,
        tools: Sequence[dict[str, Any]] | None,
        constrain: dict[str, Any] | bool | str | None,
        variables: dict[str, Any],
    ) -> _Asked:
        run = self._run
        text, template = self._render(messages, system, tools, variables)
        if max_tokens is None:
            max_tokens = run.settings.max_tokens or run.config.max_tokens
        request = Request(
            prompt=text,
            max_tokens=check_max_tokens(max_tokens),
            sampling=sampling,
            timeout=run.config.timeout,
            constraint=None if constrain is None else constraint_of(constrain),
        )
        return _Asked(request, template)

    def _ask(self, asked: list[_Asked]) -> list[Reply]:
        run, settings = self._run, self._settings
        done = run.answers.complete(settings, [one.request for one in asked])
        info = run.answers.info(settings)
        replies = []
        for one, (completion, cached) in zip(asked, done, strict=True):
            request = one.request
            prompt = Prompt(request.prompt, completion.prompt_ids)
            made = self._fingerprint(info, one.template, prompt, request.sampling, request.max_tokens)
            if request.constraint is not None:
                made = msgspec.structs.replace(made, constraint=request.constraint.sha256)
            reply = Reply(
                text=completion.text,
                finish_reason=completion.finish_reason,
                tokens=completion.tokens,
                end=completion.end,
                prompt=prompt,
                timings=completion.timings,
                fingerprint=made,
                unenforced=completion.ignored,
                cached=cached,
            ).heard_by(run.recorder, run.health)
            run.recorder.asked(reply)
            replies.append(reply)
        run.tell_trouble()
        return replies

    def _score(self, request: ScoreRequest, template: ChatTemplate, against: LLM | None) -> Score:
        answers, settings = self._run.answers, self._settings
        if against is None:
            scoring, cached = answers.score(settings, request)
        else:
            scoring, cached = self._compared(request, against), False
        prompt = Prompt(request.prompt, scoring.prompt_ids)
        return Score(
            tokens=scoring.tokens,
            prompt=prompt,
            timings=scoring.timings,
            fingerprint=self._fingerprint(answers.info(settings), template, prompt, Sampling(), 0),
            divergence=scoring.divergence,
            same_top=scoring.same_top,
            cached=cached,
        )

    def _compared(self, request: ScoreRequest, other: LLM) -> Scoring:
        """Score against the other's rows, which go through a file: both need not be loaded at a time."""
        mine, theirs = (vocabulary_of(llm._model.header) for llm in (self, other))
        if mine != theirs:
            raise PromptError(
                f"models {self.spec.name!r} and {other.spec.name!r} have different vocabularies: their "
                "distributions cannot be compared"
            )
        answers = self._run.answers
        path = answers.pool.folder / f"rows-{secrets.token_hex(8)}"
        try:
            replace = msgspec.structs.replace
            other._run.answers.score(other._settings, replace(request, write_rows=str(path)))
            scoring, _ = answers.score(self._settings, replace(request, read_rows=str(path)))
        finally:
            path.unlink(missing_ok=True)
        return scoring

    def _render(
        self,
        messages: Messages,
        system: str | None,
        tools: Sequence[dict[str, Any]] | None,
        variables: dict[str, Any],
    ) -> tuple[str, ChatTemplate]:
        of_mark = self._run.settings.system
        return self._prompts.render(messages, of_mark if system is None else system, tools, variables)

    @property
    def _settings(self) -> Settings:
        """What the engine is to load, under the marks of this moment."""
        n_ctx = self._run.settings.n_ctx
        found = self._known.get(n_ctx)
        if found is None:
            found = self._known[n_ctx] = settings_of(self._model, n_ctx)
        return found

    def _fingerprint(
        self, info: Info, template: ChatTemplate, prompt: Prompt, sampling: Sampling, max_tokens: int
    ) -> Fingerprint:
        context = self._settings.context
        settings = {"n_ctx": str(context.n_ctx)}
        if context.rope is not None:
            settings |= {
                f"rope_{key}": str(v)
                for key, v in msgspec.structs.asdict(context.rope).items()
                if v is not None
            }
        return Fingerprint(
            model=self.spec.name,
            quant=self._model.header.quant,
            build=info.build,
            device=info.device,
            weights=self._model.sha256,
            adapters=tuple(f"{adapter.sha256}@{adapter.scale:g}" for adapter in context.adapters),
            template=template.sha256,
            prompt=prompt.sha256,
            sampling=sampling,
            max_tokens=max_tokens,
            numerics=info.numerics,
            settings=tuple(sorted(settings.items())),
            noise=info.noise,
        )

    def __repr__(self) -> str:
        return f"<llm {self.spec.name}: {self._model.header.quant}>"


class _Asked(NamedTuple):
    """A request and the template that rendered its prompt."""

    request: Request
    template: ChatTemplate
