"""Behind `llm`: from checked arguments to requests, and from completions to replies."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_llmcheck.engines.constraint import constraint_of, schema_or_grammar
from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.engines.score import Score
from pytest_llmcheck.engines.types import Fingerprint, Prompt, Request, Sampling, ScoreRequest
from pytest_llmcheck.errors import PromptError
from pytest_llmcheck.prompts.variables import prompt_settings
from pytest_llmcheck.session.arguments import check_max_tokens
from pytest_llmcheck.session.counting import Counting
from pytest_llmcheck.session.hearing import calls_in, heard
from pytest_llmcheck.session.pool import settings_of, vocabulary_of
from pytest_llmcheck.session.rendering import Prompts, holds
from pytest_llmcheck.session.samples import Batch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_llmcheck.engines.count import Count
    from pytest_llmcheck.engines.llama.settings import Info, Settings
    from pytest_llmcheck.engines.types import Scoring
    from pytest_llmcheck.models import ModelSpec, ResolvedModel
    from pytest_llmcheck.models.spec import ContentTokens
    from pytest_llmcheck.prompts import ChatTemplate, Messages
    from pytest_llmcheck.schema_given import Schema
    from pytest_llmcheck.session.rendering import Rendered
    from pytest_llmcheck.session.run import Run


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a test hands over to be rendered.

    Attributes:
        messages: the user's text, or messages.
        system: the system prompt; None takes that of the mark, else that of the model.
        tools: definitions for the template.
        variables: what else the template reads.
        content_tokens: how control tokens in what users and tools say are taken; None as the model says.
    """

    messages: Messages
    system: str | None = None
    tools: Sequence[dict[str, Any]] | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    content_tokens: ContentTokens | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How a reply is to be made.

    Attributes:
        sampling: how tokens are chosen.
        max_tokens: bound of the reply; None takes that of the mark, else that of the configuration.
        constrain: what says the JSON Schema or grammar that the text is held to.
    """

    sampling: Sampling
    max_tokens: int | None = None
    constrain: Schema | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what it was made of."""

    request: Request
    rendered: Rendered
    origin: Asked


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of whom; see `engines.reply.Origin`."""

    asking: Asking
    conversation: Conversation
    manner: Manner
    rendered: Rendered
    settings: Settings

    @property
    def template(self) -> str:
        """The source of the chat template."""
        return self.rendered.template.source

    @property
    def control_tokens(self) -> Collection[str]:
        """The control tokens of the model's vocabulary, by their names."""
        return self.asking.prompts.control.texts

    def says(self, text: str) -> bool:
        """Whether the messages, the tools, the variables or the constraint hold this text."""
        return self.rendered.says(text) or holds(self.manner.constrain, text)

    def count(self) -> Count:
        """The tokens of the prompt, part by part, in the context that it was asked in."""
        return self.asking.counting.count(self.rendered, self.settings)

    def again(self, *, content_tokens: ContentTokens) -> Reply:
        """The same asked again, control tokens in what users and tools say taken in this way."""
        conversation = replace(self.conversation, content_tokens=content_tokens)
        (reply,) = self.asking.ask([self.asking.question(conversation, self.manner)])
        return reply


class Asking:
    """Renders, asks and scores for one model of a run. Thread-safe."""

    def __init__(self, run: Run, model: ResolvedModel) -> None:
        self.run = run
        self.model = model
        self.prompts = Prompts(model)
        self.counting = Counting(run, model)
        self._known: dict[int | None, Settings] = {}

    @property
    def spec(self) -> ModelSpec:
        """The declared model."""
        return self.model.spec

    @property
    def settings(self) -> Settings:
        """What the engine is to load, under the marks of this moment."""
        n_ctx = self.run.settings.n_ctx
        found = self._known.get(n_ctx)
        if found is None:
            found = self._known[n_ctx] = settings_of(self.model, n_ctx)
        return found

    def render(self, conversation: Conversation) -> Rendered:
        """The prompt of a conversation, under the marks of this moment.

        Raises:
            PromptError: it makes no prompt.
            ConfigError: a variable that the template never reads.
        """
        given, of_mark = conversation, self.run.settings.system
        return self.prompts.render(
            given.messages,
            of_mark if given.system is None else given.system,
            given.tools,
            given.variables,
            given.content_tokens,
        )

    def tokenise(self, rendered: Rendered) -> Prompt:
        """The prompt with its token ids."""
        engine = self.run.answers.engine(self.settings)
        return Prompt(rendered.text, engine.tokenise(rendered.text, rendered.plain), rendered.plain)

    def count(self, conversation: Conversation) -> Count:
        """The tokens of its prompt, part by part, under the marks of this moment."""
        return self.counting.count(self.render(conversation), self.settings)

    def question(self, conversation: Conversation, manner: Manner) -> Question:
        """What is to be asked of the engine.

        Raises:
            PromptError: the conversation makes no prompt, or the constraint cannot be kept.
            ConfigError: a wrong argument.
        """
        run, limit = self.run, manner.max_tokens
        run.audit(self.model)
        rendered = self.render(conversation)
        if limit is None:
            limit = run.settings.max_tokens or run.config.max_tokens
        constraint = None
        if manner.constrain is not None:
            # Read once: a file may change before the same is asked again.
            manner = replace(manner, constrain=schema_or_grammar(manner.constrain))
            constraint = constraint_of(manner.constrain)
        request = Request(
            prompt=rendered.text,
            max_tokens=check_max_tokens(limit),
            sampling=manner.sampling,
            timeout=run.config.timeout,
            constraint=constraint,
            plain=rendered.plain,
        )
        origin = Asked(self, conversation, manner, rendered, self.settings)
        return Question(request, rendered, origin)

    def later(self, conversation: Conversation, manners: Sequence[Manner]) -> Batch:
        """Replies to one conversation, one for each manner, decoded together when first looked at.

        Raises:
            LlmcheckError: as `question`.
        """
        questions = [self.question(conversation, manner) for manner in manners]
        return Batch(lambda: self.ask(questions), self.run.health)

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """The replies to all of them, decoded together, under the marks of the moment when they were made."""
        run = self.run
        # Samples are asked for when they are looked at, which another test may do.
        settings = questions[0].origin.settings if questions else self.settings
        try:
            done = run.answers.complete(settings, [question.request for question in questions])
        except PromptError as error:
            prompts = [question.rendered for question in questions]
            raise self.counting.explained(error, prompts, settings) from None
        info = run.answers.info(settings)
        replies = []
        for question, (completion, cached) in zip(questions, done, strict=True):
            request = question.request
            prompt = Prompt(request.prompt, completion.prompt_ids, request.plain)
            made = self.fingerprint(
                info, question.rendered.template, prompt, request.sampling, request.max_tokens, settings
            )
            if request.constraint is not None:
                made = msgspec.structs.replace(made, constraint=request.constraint.sha256)
            template, tools = question.rendered.template, question.rendered.tools or ()
            said = heard(completion, request, template.source)
            form = run.tool_formats.of(template) if tools else None
            called, broken = (
                ((), ()) if form is None else calls_in(completion, request, template, form, tools)
            )
            reply = Reply(
                text=said.answer,
                finish_reason=said.finish_reason,
                tokens=completion.tokens,
                end=completion.end,
                prompt=prompt,
                timings=completion.timings,
                fingerprint=made,
                unenforced=completion.ignored,
                forged=question.rendered.forged,
                thinking=said.thinking,
                raw=completion.marked or completion.text,
                controls=completion.controls,
                tool_calls=called,
                broken_calls=broken,
                tools=tools,
                tool_format=form,
                cached=cached,
                origin=question.origin,
            ).heard_by(run.recorder, run.health, self.spec.without)
            run.recorder.asked(reply)
            if reply.forged and not reply.prompt.plain and self.spec.content_tokens == "special":
                run.note_once(
                    f"model {self.spec.name!r}: what a user or a tool says holds the control token "
                    f"{reply.forged[0]}, which counts as such, as it would in a server; the check "
                    'resists_forged_turns() compares, content_tokens = "plain" takes it as text'
                )
            replies.append(reply)
        run.tell_trouble()
        return replies

    def score(
        self, conversation: Conversation, continuation: str | tuple[int, ...], against: Asking | None
    ) -> Score:
        """The log-probabilities of a continuation; `against` another model, its divergence too."""
        self.run.audit(self.model)
        rendered = self.render(conversation)
        request = ScoreRequest(
            prompt=rendered.text,
            continuation=continuation,
            timeout=self.run.config.timeout,
            plain=rendered.plain,
        )
        answers, settings = self.run.answers, self.settings
        try:
            if against is None:
                scoring, cached = answers.score(settings, request)
            else:
                scoring, cached = self._compared(request, against), False
        except PromptError as error:
            raise self.counting.explained(error, [rendered], settings) from None
        prompt = Prompt(request.prompt, scoring.prompt_ids, request.plain)
        return Score(
            tokens=scoring.tokens,
            prompt=prompt,
            timings=scoring.timings,
            fingerprint=self.fingerprint(
                answers.info(settings), rendered.template, prompt, Sampling(), 0, settings
            ),
            divergence=scoring.divergence,
            same_top=scoring.same_top,
            cached=cached,
        )

    def _compared(self, request: ScoreRequest, other: Asking) -> Scoring:
        """Score against the other's rows, which go through a file: both need not be loaded at a time."""
        mine, theirs = (vocabulary_of(asking.model.header) for asking in (self, other))
        if mine != theirs:
            raise PromptError(
                f"models {self.spec.name!r} and {other.spec.name!r} have different vocabularies: their "
                "distributions cannot be compared"
            )
        answers = self.run.answers
        path = answers.pool.folder / f"rows-{secrets.token_hex(8)}"
        try:
            writing, reading = (
                msgspec.structs.replace(request, **{key: str(path)}) for key in ("write_rows", "read_rows")
            )
            other.run.answers.score(other.settings, writing)
            scoring, _ = answers.score(self.settings, reading)
        finally:
            path.unlink(missing_ok=True)
        return scoring

    def fingerprint(
        self,
        info: Info,
        template: ChatTemplate,
        prompt: Prompt,
        sampling: Sampling,
        max_tokens: int,
        loaded: Settings,
    ) -> Fingerprint:
        """Of a reply to this prompt, in the context that was loaded for it."""
        context = loaded.context
        settings = {"n_ctx": str(context.n_ctx), **prompt_settings(self.spec, template)}
        if prompt.plain:
            settings["content_tokens"] = "plain"
        if context.rope is not None:
            settings |= {
                f"rope_{key}": str(v)
                for key, v in msgspec.structs.asdict(context.rope).items()
                if v is not None
            }
        return Fingerprint(
            model=self.spec.name,
            quant=self.model.header.quant,
            build=info.build,
            device=info.device,
            weights=self.model.sha256,
            adapters=tuple(f"{adapter.sha256}@{adapter.scale:g}" for adapter in context.adapters),
            template=template.sha256,
            prompt=prompt.sha256,
            prompt_tokens=prompt.tokens_sha256,
            sampling=sampling,
            max_tokens=max_tokens,
            numerics=info.numerics,
            settings=tuple(sorted(settings.items())),
            noise=info.noise,
        )
