"""What a file's quantisation is called, judged by its tensors and not by what it says of itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_llmcheck.models.quants import fallback, recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A name is kept if the types it stands for hold at least this share of the matrices. In llama.cpp's
#: own mixtures it is half or more (IQ3_XXS, the most mixed, in `llama_tensor_get_type_impl`).
_LEAST_CORE = 1 / 3

#: ... and at most this share of the rows that force a fallback, and of those that do not, lies in types
#: that its recipe never gives there: hand-picked overrides.
_MOST_FOREIGN = 1 / 4

#: Fallbacks below this share of the matrices are not worth a word in the label.
_NOTABLE_FALLBACK = 0.1


class TensorLike(Protocol):
    """What a label needs to know of a tensor."""

    @property
    def name(self) -> str: ...  # noqa: D102 - see TensorInfo
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102 - see TensorInfo
    @property
    def type_name(self) -> str: ...  # noqa: D102 - see TensorInfo
    @property
    def n_params(self) -> int: ...  # noqa: D102 - see TensorInfo
    @property
    def n_bytes(self) -> int: ...  # noqa: D102 - see TensorInfo


class TypeCount(NamedTuple):
    """How much of a file one tensor type holds: tensors, parameters, bytes."""

    tensors: int
    params: int
    bytes: int


def histogram(tensors: Iterable[TensorLike]) -> dict[str, TypeCount]:
    """Tensors, parameters and bytes by tensor type, the largest by parameters first."""
    found: dict[str, TypeCount] = {}
    for tensor in tensors:
        old = found.get(tensor.type_name, TypeCount(0, 0, 0))
        found[tensor.type_name] = TypeCount(
            old.tensors + 1, old.params + tensor.n_params, old.bytes + tensor.n_bytes
        )
    return dict(sorted(found.items(), key=lambda item: (-item[1].params, item[0])))


def bits_per_weight(types: Mapping[str, TypeCount]) -> float:
    """Bits that the file spends on a parameter, norms and embeddings included; 0.0 without tensors."""
    params = sum(count.params for count in types.values())
    return 8 * sum(count.bytes for count in types.values()) / params if params else 0.0


def quant_label(tensors: Iterable[TensorLike], declared: str | None) -> str:
    """A label for a table's column, such as ``Q8_0`` or ``Q4_K_M (mostly Q5_0 fallback, 6.2 bpw)``.

    Args:
        tensors: all tensors of the file.
        declared: llama.cpp's name of the file's ``general.file_type``, None if it has none.

    Matrices decide; embeddings and output (to which llama.cpp gives another type) and vectors do not, unless
    there is nothing else. The declared name is kept if llama.cpp's quantiser can have made these types of it,
    counting the types that it falls back to where a row does not divide into blocks. Otherwise the
    label says what most of the weights are, and that the file says otherwise.
    """
    tensors = list(tensors)
    body = _body(tensors)
    total = sum(tensor.n_params for tensor in body)
    if not total:
        return "no weights"
    if declared is not None:
        core, fell_back, foreign_share = _shares(body, declared)
        fallen = sum(fell_back.values())
        if (core + fallen) / total >= _LEAST_CORE and foreign_share <= _MOST_FOREIGN:
            if fallen / total < _NOTABLE_FALLBACK:
                return declared
            amount = "mostly" if fallen > core else "partly"
            most = fell_back.most_common(1)[0][0]
            return f"{declared} ({amount} {most} fallback, {bits_per_weight(histogram(tensors)):.1f} bpw)"
    main = next(iter(histogram(body)))
    pure = all(tensor.type_name == main for tensor in body)
    if declared is None:
        return main if pure else f"mostly {main}"
    return f"{'' if pure else 'mostly '}{main}, declared {declared}"


def describe_quant(tensors: Iterable[TensorLike], declared: str | None) -> str:
    """The label with what it rests on, in one sentence.

    For example ``Q4_K_M (mostly Q5_0 fallback, 6.2 bpw): 6.17 bits per weight; by parameters Q5_0 58.0 %,
    Q8_0 22.2 %, ...; rows of 576 values do not divide into blocks of 256.``
    """
    tensors = list(tensors)
    types = histogram(tensors)
    params = sum(count.params for count in types.values())
    label = quant_label(tensors, declared)
    if not params:
        return f"{label}."
    shares = ", ".join(f"{name} {100 * count.params / params:.1f} %" for name, count in types.items())
    sentence = f"{label}: {bits_per_weight(types):.2f} bits per weight; by parameters {shares}"
    if "fallback" in label:
        lengths = sorted({tensor.shape[0] for tensor in _body(tensors) if tensor.shape[0] % 256})
        sentence += f"; rows of {' and '.join(map(str, lengths))} values do not divide into blocks of 256"
    elif declared is None:
        sentence += "; the file declares no type (general.file_type)"
    elif "declared" in label:
        sentence += f"; the file declares {declared}, which llama.cpp does not make of these types"
    return sentence + "."


def _body(tensors: list[TensorLike]) -> list[TensorLike]:
    matrices = [tensor for tensor in tensors if len(tensor.shape) > 1 and tensor.n_params]
    inner = [tensor for tensor in matrices if not _is_edge(tensor.name)]
    return inner or matrices or [tensor for tensor in tensors if tensor.n_params]


def _is_edge(name: str) -> bool:
    # llama.cpp's tensor categories TOKEN_EMBD and OUTPUT.
    return name in ("token_embd.weight", "per_layer_token_embd.weight", "output.weight")


def _shares(body: list[TensorLike], declared: str) -> tuple[int, Counter[str], float]:
    """Parameters in the recipe's core types, in their fallbacks by type, and the share of foreign types.

    The share is the larger one of rows that force a fallback and rows that do not: a Q8_0 file whose rows
    mostly force Q6_K into Q8_0 is told from a Q6_K file by the other rows.
    """
    core_types, other_types = recipe(declared)
    core = 0
    fell_back: Counter[str] = Counter()
    params: Counter[bool] = Counter()
    foreign: Counter[bool] = Counter()
    for tensor in body:
        row = tensor.shape[0]
        core_fallbacks = {fallback(kind, row) for kind in core_types}
        forced = core_fallbacks.isdisjoint(core_types)
        params[forced] += tensor.n_params
        if tensor.type_name in core_types:
            core += tensor.n_params
        elif tensor.type_name in core_fallbacks:
            fell_back[tensor.type_name] += tensor.n_params
        elif tensor.type_name not in {*other_types, *(fallback(kind, row) for kind in other_types)}:
            foreign[forced] += tensor.n_params
    return core, fell_back, max(foreign[forced] / total for forced, total in params.items())
