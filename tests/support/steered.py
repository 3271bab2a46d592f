"""A tiny GGUF that says what it is told to: each of its tokens calls for one other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from tests.support.gguf_files import CONTROL_TOKENS, EOS, N_VOCAB, ModelWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH = 64
LAYERS, HEADS, FEED = 1, 4, 64

PLAIN = (
    "{% for m in messages %}{{ m.role }}|{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}"
)
"""A template whose prompts end with ``>``."""


def steered_llama(
    path: Path,
    said: str,
    *,
    after: str = ">",
    extra: Sequence[str] = (),
    chat_template: str = PLAIN,
    endless: bool = False,
    context: int = 512,
) -> Path:
    """Write a model whose greedy reply is `said` wherever the prompt ends with the character `after`.

    Attention and feed-forward network add nothing, so that the next token depends on the last one alone: no
    character may occur twice, in `said` and `after` together.

    Args:
        path: the file.
        said: the reply; names of control tokens in it are these tokens.
        after: the last character of the prompt.
        extra: control tokens besides the usual ones, such as ``<think>``.
        chat_template: see `tiny_llama`.
        endless: begin again after the last token, where else the model ends its reply.
        context: tokens that it was trained for.
    """
    chain = [*_ids(after, extra), *_ids(said, extra)]
    assert len(set(chain)) == len(chain) <= WIDTH, f"a token occurs twice: {chain}"
    model = ModelWriter(path, "llama", name="steered")
    size = N_VOCAB + len(extra)
    keys = model.keys
    keys.add_vocab_size(size)
    keys.add_context_length(context)
    keys.add_embedding_length(WIDTH)
    keys.add_block_count(LAYERS)
    keys.add_feed_forward_length(FEED)
    keys.add_head_count(HEADS)
    keys.add_head_count_kv(HEADS)
    keys.add_rope_dimension_count(WIDTH // HEADS)
    keys.add_layer_norm_rms_eps(1e-5)
    model.speech(n_vocab=size, chat_template=chat_template, extra=extra)

    embedding = np.zeros((size, WIDTH), dtype=np.float32)
    output = np.zeros((size, WIDTH), dtype=np.float32)
    for place, (token, follows) in enumerate(
        zip(chain, [*chain[1:], chain[1] if endless else EOS], strict=True)
    ):
        embedding[token, place] = 1.0
        output[follows, place] = 4.0
    nothing = {"attn_output": (WIDTH, WIDTH), "ffn_down": (WIDTH, FEED)}
    anything = {"attn_q": WIDTH, "attn_k": WIDTH, "attn_v": WIDTH, "ffn_gate": FEED, "ffn_up": FEED}
    keys.add_tensor("token_embd.weight", embedding.astype(np.float16))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            model.vector(f"blk.{layer}.{norm}.weight", WIDTH)
        for label, rows in anything.items():
            model.matrix(f"blk.{layer}.{label}.weight", rows, WIDTH)
        for label, shape in nothing.items():
            keys.add_tensor(f"blk.{layer}.{label}.weight", np.zeros(shape, dtype=np.float16))
    model.vector("output_norm.weight", WIDTH)
    keys.add_tensor("output.weight", output.astype(np.float16))
    return model.finish()


def _ids(text: str, extra: Sequence[str]) -> list[int]:
    control = {name: at for at, name in enumerate(CONTROL_TOKENS)}
    control |= {name: N_VOCAB + at for at, name in enumerate(extra)}
    ids: list[int] = []
    for part in re.split(f"({'|'.join(map(re.escape, control))})", text):
        if part in control:
            ids.append(control[part])
        else:
            ids += [len(CONTROL_TOKENS) + byte for byte in part.encode()]
    return ids
