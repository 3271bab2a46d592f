"""How many tokens each part of a prompt has. No weights are loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmcheck.engines.count import Count, PartCount
from pytest_llmcheck.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcheck.engines.llama.settings import Settings
    from pytest_llmcheck.models import ResolvedModel
    from pytest_llmcheck.prompts.forged import Spans
    from pytest_llmcheck.session.rendering import Rendered
    from pytest_llmcheck.session.run import Run


class Counting:
    """Counts the prompts of one model; what was counted once is remembered. Thread-safe."""

    def __init__(self, run: Run, model: ResolvedModel) -> None:
        self._run = run
        self._model = model
        self._known: dict[tuple[str, Spans], tuple[PartCount, ...]] = {}

    def count(self, rendered: Rendered, settings: Settings) -> Count:
        """The tokens of a prompt, part by part.

        Args:
            rendered: the prompt.
            settings: of the engine that it is for.

        Raises:
            EngineError: the tokenizer cannot be read.
        """
        key = (rendered.text, rendered.plain)
        parts = self._known.get(key)
        if parts is None:
            parts = self._known[key] = self._count(rendered, settings)
        return Count(self._model.spec.name, settings.context.n_ctx, parts, self._run.recorder.judged)

    def explained(self, error: PromptError, prompts: Sequence[Rendered], settings: Settings) -> PromptError:
        """An engine's error, with the parts of the prompt that does not fit; the same where all do."""
        for rendered in prompts:
            count = self.count(rendered, settings) if rendered.text else None
            if count is not None and count.left <= 0:
                return PromptError("\n  ".join([str(error), *count.lines()]))
        return error

    def _count(self, rendered: Rendered, settings: Settings) -> tuple[PartCount, ...]:
        from pytest_llmcheck.prompts.parts import locate

        parts = locate(
            rendered.template,
            rendered.text,
            rendered.messages,
            tools=rendered.tools,
            **rendered.variables,
        )
        ends = [part.end for part in parts]
        cache, cuts = self._run.answers.cache, (tuple(ends), rendered.plain)
        lengths = cache.lengths(self._model.sha256, rendered.text, cuts)
        if lengths is None:
            lengths = self._lengths(rendered, ends, settings)
            cache.keep_lengths(self._model.sha256, rendered.text, cuts, lengths)
        tokens: dict[str, int] = {}
        before = 0
        for part, length in zip(parts, lengths, strict=True):
            # A prefix can have more tokens than a longer one, which completes its last word.
            now = min(max(length, before), lengths[-1])
            tokens[part.kind] = tokens.get(part.kind, 0) + now - before
            before = now
        return tuple(PartCount(kind, number) for kind, number in tokens.items())

    def _lengths(self, rendered: Rendered, ends: Sequence[int], settings: Settings) -> tuple[int, ...]:
        """How many tokens the prompt has up to each of these places."""
        prefixes = [
            (rendered.text[:end], tuple(span for span in rendered.plain if span[1] <= end)) for end in ends
        ]
        engine = self._run.answers.pool.running(settings)
        if engine is not None:
            return tuple(len(engine.tokenise(text, plain)) for text, plain in prefixes)
        from pytest_llmcheck.engines.llama.words import Text, ask

        asked = [Text(text, plain=plain) for text, plain in prefixes]
        return tuple(len(text.ids) for text in ask(self._model.path, asked).texts)
