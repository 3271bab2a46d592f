"""`llm`: what a test asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmcheck.engines.reply import Reply
from pytest_llmcheck.engines.types import Fingerprint, Prompt, Request, Sampling
from pytest_llmcheck.errors import ConfigError, LlmcheckError, PromptError, did_you_mean
from pytest_llmcheck.prompts import ChatTemplate, normalise, template_of, with_system

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.llama.client import LlamaEngine
    from pytest_llmcheck.engines.llama.settings import Info
    from pytest_llmcheck.models import ModelSpec, ResolvedModel
    from pytest_llmcheck.prompts import Messages
    from pytest_llmcheck.session.run import Run

ARGUMENTS = ("max_tokens", "min_p", "seed", "system", "temperature", "tools", "top_k", "top_p")


class LLM:
    """A model to talk to. Made by the fixtures `llm` and `llms`; thread-safe, lives for the session."""

    def __init__(self, run: Run, model: ResolvedModel) -> None:
        self._run = run
        self._model = model
        self._templates: dict[bool, ChatTemplate] = {}

    @property
    def spec(self) -> ModelSpec:
        """The declared model."""
        return self._model.spec

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the model alone: greedy, and with no prompt."""
        __tracebackhide__ = True
        try:
            _, info = self._engine()
            return self._fingerprint(info, self._template(tools=False), Prompt("", ()), Sampling(), 0)
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
            template_variables: what else the chat template reads, such as ``enable_thinking``.

        Raises:
            PromptError: the messages make no prompt, or it does not fit the context.
            ConfigError: an unknown argument.
            EngineError: the model cannot be loaded or its host died.
        """
        __tracebackhide__ = True
        sampling = check_sampling(
            Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        )
        try:
            return self._chat(messages, system, max_tokens, sampling, tools, template_variables)
        except LlmcheckError as error:
            # The user's line and the message say all; the frames between are ours.
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
            engine, _ = self._engine()
            return Prompt(text, engine.tokenise(text))
        except LlmcheckError as error:
            raise error.with_traceback(None) from None

    def _chat(
        self,
        messages: Messages,
        system: str | None,
        max_tokens: int | None,
        sampling: Sampling,
        tools: Sequence[dict[str, Any]] | None,
        variables: dict[str, Any],
    ) -> Reply:
        run = self._run
        text, template = self._render(messages, system, tools, variables)
        if max_tokens is None:
            max_tokens = run.settings.max_tokens or run.config.max_tokens
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
            raise ConfigError(f"max_tokens must be a whole number, got {max_tokens!r}")
        if max_tokens < 1:
            raise PromptError(f"max_tokens must be at least 1, got {max_tokens}")
        engine, info = self._engine()
        request = Request(prompt=text, max_tokens=max_tokens, sampling=sampling, timeout=run.config.timeout)
        done = engine.complete(request)
        prompt = Prompt(text, done.prompt_ids)
        reply = Reply(
            text=done.text,
            finish_reason=done.finish_reason,
            tokens=done.tokens,
            end=done.end,
            prompt=prompt,
            timings=done.timings,
            fingerprint=self._fingerprint(info, template, prompt, sampling, max_tokens),
        ).heard_by(run.recorder, run.health)
        run.recorder.asked(reply)
        return reply

    def _render(
        self,
        messages: Messages,
        system: str | None,
        tools: Sequence[dict[str, Any]] | None,
        variables: dict[str, Any],
    ) -> tuple[str, ChatTemplate]:
        template = self._template(tools=bool(tools))
        if unused := template.unused(variables):
            name = unused[0]
            hint = did_you_mean(name, [*ARGUMENTS, *template.variables])
            raise ConfigError(
                f"{name!r} is neither an argument of chat nor a variable of the chat template of model "
                f"{self.spec.name!r}: {hint}"
            )
        if tools and "tools" not in template.variables:
            raise PromptError(
                f"the chat template of model {self.spec.name!r} never reads `tools`: the model would not see "
                "them. Use a model that was trained with tools, or describe them in the system prompt"
            )
        if system is None:
            system = self._run.settings.system
        conversation = normalise(messages)
        if system is not None:
            conversation = with_system(conversation, system)
        elif self.spec.system is not None and not any(m["role"] == "system" for m in conversation):
            conversation = with_system(conversation, self.spec.system)
        return template.render(conversation, tools=tools, **variables), template

    def _template(self, *, tools: bool) -> ChatTemplate:
        found = self._templates.get(tools)
        if found is None:
            found = template_of(self._model.header, self.spec, tools=tools)
            self._templates[tools] = found
        return found

    def _engine(self) -> tuple[LlamaEngine, Info]:
        return self._run.pool.engine(self._model, self._run.settings.n_ctx)

    def _fingerprint(
        self, info: Info, template: ChatTemplate, prompt: Prompt, sampling: Sampling, max_tokens: int
    ) -> Fingerprint:
        n_ctx = self._run.n_ctx(self._model)
        return Fingerprint(
            model=self.spec.name,
            quant=self._model.header.quant,
            build=info.build,
            device=info.device,
            weights=self._model.sha256,
            template=template.sha256,
            prompt=prompt.sha256,
            sampling=sampling,
            max_tokens=max_tokens,
            numerics=info.numerics,
            settings=(("n_ctx", str(n_ctx)),),
        )

    def __repr__(self) -> str:
        return f"<llm {self.spec.name}: {self._model.header.quant}>"


def check_sampling(sampling: Sampling) -> Sampling:
    """The same, if every value is in its range.

    Raises:
        ConfigError: names the argument and its range.
    """
    __tracebackhide__ = True
    for name in ("top_k", "seed"):
        value = getattr(sampling, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{name} must be a whole number, got {value!r}")
    for name in ("temperature", "top_p", "min_p"):
        value = getattr(sampling, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} must be a number, got {value!r}")
    ranges = {
        "temperature": (0.0 <= sampling.temperature < float("inf"), "at least 0"),
        "top_k": (sampling.top_k >= 0, "at least 0"),
        "top_p": (0.0 < sampling.top_p <= 1.0, "above 0 and at most 1"),
        "min_p": (0.0 <= sampling.min_p <= 1.0, "from 0 to 1"),
        "seed": (0 <= sampling.seed < 2**64, "from 0 to 2**64 - 1"),
    }
    for name, (good, allowed) in ranges.items():
        if not good:
            raise ConfigError(f"{name} must be {allowed}, got {getattr(sampling, name)!r}")
    return sampling
