"""Tiny GGUF files of other families than Llama: each loads and computes, and none means anything.

All speak with the byte-level tokenizer and the ChatML template of `gguf_files.tiny_llama`, and only printable
ASCII and the control tokens have a say in their output. Scales are chosen so that a reply depends on
more than its last token: greedy replies wander instead of repeating one token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import gguf
import numpy as np

from tests.support.gguf_files import BOS, N_VOCAB, ModelWriter

if TYPE_CHECKING:
    from pathlib import Path

Matrices = Literal["F32", "F16"]

N_EMBD = 64
N_FF = 128
N_HEADS = 4
N_KV_HEADS = 2
HEAD = N_EMBD // N_HEADS


def tiny_gemma3(
    path: Path,
    *,
    n_layers: int = 6,
    window: int = 32,
    context: int = 2048,
    tensor_type: Matrices = "F16",
    seed: int = 0,
) -> Path:
    """Write a decoder of which five layers in six see only the last `window` tokens, as in Gemma 3."""
    model = ModelWriter(path, "gemma3", name="tiny-gemma3", tensor_type=tensor_type, seed=seed)
    _decoder_keys(model, n_layers, context)
    model.keys.add_key_length(HEAD)
    model.keys.add_value_length(HEAD)
    model.keys.add_sliding_window(window)
    model.speech()
    # llama.cpp multiplies Gemma's embeddings by the square root of their length.
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD)
    for layer in range(n_layers):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", N_EMBD)
        _sharp_attention(model, block)
        model.vector(f"{block}post_attention_norm.weight", N_EMBD, 4.0)
        model.vector(f"{block}ffn_norm.weight", N_EMBD)
        model.feed_forward(block, N_EMBD, N_FF)
        model.vector(f"{block}post_ffw_norm.weight", N_EMBD, 4.0)
    _head(model)
    return model.finish()


def tiny_qwen3moe(
    path: Path,
    *,
    n_layers: int = 2,
    n_experts: int = 4,
    n_used: int = 2,
    context: int = 2048,
    tensor_type: Matrices = "F16",
    seed: int = 0,
) -> Path:
    """Write a mixture of experts of which each token asks `n_used`."""
    model = ModelWriter(path, "qwen3moe", name="tiny-qwen3moe", tensor_type=tensor_type, seed=seed)
    _decoder_keys(model, n_layers, context)
    model.keys.add_key_length(HEAD)
    model.keys.add_value_length(HEAD)
    model.keys.add_expert_count(n_experts)
    model.keys.add_expert_used_count(n_used)
    model.keys.add_expert_feed_forward_length(N_FF)
    model.speech()
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD, scale=8.0)
    for layer in range(n_layers):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", N_EMBD)
        _sharp_attention(model, block)
        model.vector(f"{block}ffn_norm.weight", N_EMBD)
        model.matrix(f"{block}ffn_gate_inp.weight", n_experts, N_EMBD, scale=2.0)
        model.experts(f"{block}ffn_gate_exps.weight", n_experts, N_FF, N_EMBD)
        model.experts(f"{block}ffn_up_exps.weight", n_experts, N_FF, N_EMBD)
        model.experts(f"{block}ffn_down_exps.weight", n_experts, N_EMBD, N_FF, scale=4.0)
    _head(model)
    return model.finish()


def tiny_mamba(
    path: Path, *, n_layers: int = 3, context: int = 2048, tensor_type: Matrices = "F16", seed: int = 0
) -> Path:
    """Write a recurrent model: a state of fixed size instead of a KV cache."""
    model = ModelWriter(path, "mamba", name="tiny-mamba", tensor_type=tensor_type, seed=seed)
    model.keys.add_vocab_size(N_VOCAB)
    model.keys.add_context_length(context)
    model.keys.add_embedding_length(N_EMBD)
    model.keys.add_block_count(n_layers)
    model.keys.add_feed_forward_length(0)
    model.keys.add_head_count(0)
    model.keys.add_layer_norm_rms_eps(1e-5)
    _state_keys(model)
    model.speech()
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD, scale=8.0)
    for layer in range(n_layers):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", N_EMBD)
        _state_space(model, block)
    _head(model)
    return model.finish()


def tiny_jamba(
    path: Path, *, n_layers: int = 4, context: int = 2048, tensor_type: Matrices = "F16", seed: int = 0
) -> Path:
    """Write a hybrid: layers of recurrent state and layers of attention in turn."""
    model = ModelWriter(path, "jamba", name="tiny-jamba", tensor_type=tensor_type, seed=seed)
    attends = [layer % 2 == 1 for layer in range(n_layers)]
    _decoder_keys(model, n_layers, context, n_kv_heads=[N_KV_HEADS if yes else 0 for yes in attends])
    _state_keys(model)
    model.speech()
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD, scale=8.0)
    for layer, yes in enumerate(attends):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", N_EMBD)
        if yes:
            model.attention(f"{block}attn_", N_EMBD, N_HEADS, N_KV_HEADS)
        else:
            _state_space(model, block, norms=True)
        model.vector(f"{block}ffn_norm.weight", N_EMBD)
        model.feed_forward(block, N_EMBD, N_FF)
    _head(model)
    return model.finish()


def tiny_lfm2(
    path: Path, *, n_layers: int = 4, context: int = 2048, tensor_type: Matrices = "F16", seed: int = 0
) -> Path:
    """Write a hybrid whose recurrent layers keep only the last two columns of a short convolution."""
    model = ModelWriter(path, "lfm2", name="tiny-lfm2", tensor_type=tensor_type, seed=seed)
    attends = [layer % 2 == 1 for layer in range(n_layers)]
    _decoder_keys(model, n_layers, context, n_kv_heads=[N_KV_HEADS if yes else 0 for yes in attends])
    model.keys.add_shortconv_l_cache(3)
    model.speech()
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD, scale=8.0)
    for layer, yes in enumerate(attends):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", N_EMBD)
        if yes:
            _sharp_attention(model, block)
        else:
            _convolution(model, f"{block}shortconv.conv.weight", N_EMBD, 3)
            model.matrix(f"{block}shortconv.in_proj.weight", 3 * N_EMBD, N_EMBD)
            model.matrix(f"{block}shortconv.out_proj.weight", N_EMBD, N_EMBD, scale=4.0)
        model.vector(f"{block}ffn_norm.weight", N_EMBD)
        model.feed_forward(block, N_EMBD, N_FF)
    _head(model, norm="token_embd_norm.weight")
    return model.finish()


def tiny_dream(
    path: Path, *, n_layers: int = 2, context: int = 2048, tensor_type: Matrices = "F16", seed: int = 0
) -> Path:
    """Write a diffusion model: attention looks forward too, and there is no cache."""
    model = ModelWriter(path, "dream", name="tiny-dream", tensor_type=tensor_type, seed=seed)
    _decoder_keys(model, n_layers, context)
    model.keys.add_causal_attention(False)
    model.speech()
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD, scale=8.0)
    for layer in range(n_layers):
        block = f"blk.{layer}."
        model.vector(f"{block}attn_norm.weight", N_EMBD)
        model.attention(f"{block}attn_", N_EMBD, N_HEADS, N_KV_HEADS)
        model.vector(f"{block}ffn_norm.weight", N_EMBD)
        model.feed_forward(block, N_EMBD, N_FF)
    _head(model)
    return model.finish()


def tiny_bert(
    path: Path, *, n_layers: int = 2, context: int = 512, tensor_type: Matrices = "F16", seed: int = 0
) -> Path:
    """Write an encoder: it has embeddings to give and no logits."""
    model = ModelWriter(path, "bert", name="tiny-bert", tensor_type=tensor_type, seed=seed)
    keys = model.keys
    keys.add_vocab_size(N_VOCAB)
    keys.add_context_length(context)
    keys.add_embedding_length(N_EMBD)
    keys.add_block_count(n_layers)
    keys.add_feed_forward_length(N_FF)
    keys.add_head_count(N_HEADS)
    keys.add_layer_norm_eps(1e-5)
    keys.add_causal_attention(False)
    keys.add_pooling_type(gguf.PoolingType.MEAN)
    keys.add_token_type_count(2)
    model.speech()

    def norm(label: str) -> None:
        model.vector(f"{label}.weight", N_EMBD)
        model.vector(f"{label}.bias", N_EMBD, 0.0)

    model.matrix("token_embd.weight", N_VOCAB, N_EMBD)
    # llama.cpp adds this one to the embeddings as it is, and adds no F16 to F32.
    model.tensor("token_types.weight", np.zeros((2, N_EMBD), dtype=np.float32))
    model.matrix("position_embd.weight", context, N_EMBD)
    norm("token_embd_norm")
    for layer in range(n_layers):
        block = f"blk.{layer}."
        model.attention(f"{block}attn_", N_EMBD, N_HEADS, N_HEADS)
        norm(f"{block}attn_output_norm")
        model.matrix(f"{block}ffn_up.weight", N_FF, N_EMBD)
        model.matrix(f"{block}ffn_down.weight", N_EMBD, N_FF)
        norm(f"{block}layer_output_norm")
    return model.finish()


def tiny_t5(
    path: Path, *, n_layers: int = 2, context: int = 512, tensor_type: Matrices = "F16", seed: int = 0
) -> Path:
    """Write an encoder-decoder: the prompt goes through the encoder, the reply through the decoder."""
    buckets = 32
    model = ModelWriter(path, "t5", name="tiny-t5", tensor_type=tensor_type, seed=seed)
    _decoder_keys(model, n_layers, context, n_kv_heads=N_HEADS)
    model.keys.add_relative_attn_buckets_count(buckets)
    model.keys.add_decoder_start_token_id(BOS)
    model.speech()
    model.matrix("token_embd.weight", N_VOCAB, N_EMBD, scale=8.0)
    for side in ("enc.", "dec."):
        for layer in range(n_layers):
            block = f"{side}blk.{layer}."
            model.vector(f"{block}attn_norm.weight", N_EMBD)
            model.attention(f"{block}attn_", N_EMBD, N_HEADS, N_HEADS, out="o")
            if layer == 0:
                model.matrix(f"{block}attn_rel_b.weight", buckets, N_HEADS)
            if side == "dec.":
                model.vector(f"{block}cross_attn_norm.weight", N_EMBD)
                model.attention(f"{block}cross_attn_", N_EMBD, N_HEADS, N_HEADS, out="o")
            model.vector(f"{block}ffn_norm.weight", N_EMBD)
            model.feed_forward(block, N_EMBD, N_FF)
    model.vector("enc.output_norm.weight", N_EMBD)
    _head(model, norm="dec.output_norm.weight")
    return model.finish()


def _decoder_keys(
    model: ModelWriter, n_layers: int, context: int, n_kv_heads: int | list[int] = N_KV_HEADS
) -> None:
    model.keys.add_vocab_size(N_VOCAB)
    model.keys.add_context_length(context)
    model.keys.add_embedding_length(N_EMBD)
    model.keys.add_block_count(n_layers)
    model.keys.add_feed_forward_length(N_FF)
    model.keys.add_head_count(N_HEADS)
    model.keys.add_head_count_kv(n_kv_heads)
    model.keys.add_rope_freq_base(10000.0)
    model.keys.add_layer_norm_rms_eps(1e-5)


def _sharp_attention(model: ModelWriter, block: str) -> None:
    """Attention with normed queries and keys that prefers some tokens clearly: even attention averages."""
    model.attention(f"{block}attn_", N_EMBD, N_HEADS, N_KV_HEADS)
    model.vector(f"{block}attn_q_norm.weight", HEAD, 3.0)
    model.vector(f"{block}attn_k_norm.weight", HEAD)


D_CONV, D_INNER, D_STATE, DT_RANK = 4, 2 * N_EMBD, 16, 4


def _state_keys(model: ModelWriter) -> None:
    model.keys.add_ssm_conv_kernel(D_CONV)
    model.keys.add_ssm_inner_size(D_INNER)
    model.keys.add_ssm_state_size(D_STATE)
    model.keys.add_ssm_time_step_rank(DT_RANK)


def _state_space(model: ModelWriter, block: str, *, norms: bool = False) -> None:
    """A Mamba layer. The states decay at rates of 1 to `D_STATE`, as Mamba starts them."""
    model.matrix(f"{block}ssm_in.weight", 2 * D_INNER, N_EMBD)
    _convolution(model, f"{block}ssm_conv1d.weight", D_INNER, D_CONV)
    model.vector(f"{block}ssm_conv1d.bias", D_INNER, 0.0)
    model.matrix(f"{block}ssm_x.weight", DT_RANK + 2 * D_STATE, D_INNER, scale=2.0)
    if norms:
        model.vector(f"{block}ssm_dt_norm.weight", DT_RANK)
        model.vector(f"{block}ssm_b_norm.weight", D_STATE)
        model.vector(f"{block}ssm_c_norm.weight", D_STATE)
    model.matrix(f"{block}ssm_dt.weight", D_INNER, DT_RANK)
    model.vector(f"{block}ssm_dt.bias", D_INNER, -3.0)
    rates = -np.arange(1, D_STATE + 1, dtype=np.float32)
    model.tensor(f"{block}ssm_a", np.tile(rates, (D_INNER, 1)))
    model.vector(f"{block}ssm_d", D_INNER)
    model.matrix(f"{block}ssm_out.weight", N_EMBD, D_INNER, scale=4.0)


def _convolution(model: ModelWriter, label: str, channels: int, width: int) -> None:
    """Each channel looks back with weights of its own shape, all of one size."""
    signs = np.where(np.arange(channels * width).reshape(channels, width) % 3 == 0, -1, 1)
    model.tensor(label, (signs / width**0.5).astype(np.float32))


def _head(model: ModelWriter, norm: str = "output_norm.weight") -> None:
    model.vector(norm, N_EMBD)
    model.output(N_VOCAB, N_EMBD)
