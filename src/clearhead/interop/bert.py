"""A folder in BERT's layout (config.json, model.safetensors, tokenizer.json) -> our BERT and its heads."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clearhead.errors import InputError
from clearhead.models import bert
from clearhead.models.bert import Bert, Spec
from clearhead.objectives.masked_lm import MaskedLM
from clearhead.objectives.next_sentence import NextSentence
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Tokenizer, Vocabulary, load_tokenizer

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
TABLES = ("vocab_size", "max_position_embeddings")
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
FIELDS = (  # what the reference has a value for where a config leaves it out, which is ours
    *("layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob", "type_vocab_size"),
    "initializer_range",
)
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}
HEADS = ("cls.", "classifier.", "qa_outputs.")  # of whatever task the weights were trained for last
BUFFERS = {"embeddings.position_ids", "embeddings.token_type_ids"}
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
EMBEDDINGS = {
    "encoder.token_embedding.weight": "embeddings.word_embeddings.weight",
    "encoder.position_embedding.table.weight": "embeddings.position_embeddings.weight",
    "encoder.token_type_embedding.weight": "embeddings.token_type_embeddings.weight",
}
BLOCK = {
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feedforward.inner": "intermediate.dense",
    "feedforward.outer": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}
MASKED_LM = {
    "dense.weight": "cls.predictions.transform.dense.weight",
    "dense.bias": "cls.predictions.transform.dense.bias",
    "norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "decoder.bias": "cls.predictions.bias",
}
DECODER = "cls.predictions.decoder.weight"  # left out where it is the embeddings
NEXT_SENTENCE = {
    "classifier.weight": "cls.seq_relationship.weight",
    "classifier.bias": "cls.seq_relationship.bias",
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds: the `spec` and `inventory` that build its BERT, and `weights` under the reference's names
    of today, without "bert." before them. `where` is the folder."""

    where: Path
    spec: Spec
    inventory: Inventory
    weights: Mapping[str, Tensor]


def read_checkpoint(folder: Path, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """The BERT in `folder`, in float32. `vocabulary` None: that of the folder's tokenizer.json.

    Raises `InputError` for a file that is missing or broken, and for a kind of BERT that is another.
    """
    config = _config(folder / CONFIG)
    if vocabulary is None:
        vocabulary = load_tokenizer(folder / TOKENIZER).vocabulary
    words, longest, *sizes = (_whole_number(folder, config, name) for name in (*TABLES, *SIZES))
    fields = {name: config[name] for name in FIELDS if name in config}
    fields |= {**dict(zip(SIZES, sizes, strict=True)), "hidden_act": _activation(folder, config)}
    spec = validate(Spec, fields, str(folder / CONFIG))
    if vocabulary.size > words:
        raise InputError(f"{folder / TOKENIZER}: {vocabulary.size} tokens, and {CONFIG} has vocab_size {words}")
    return Checkpoint(folder, spec, Inventory(replace(vocabulary, size=words), longest), _weights(folder))


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer beside the weights; it neither cuts texts nor fills them up. Raises `InputError`."""
    return load_tokenizer(folder / TOKENIZER)


def load_bert(checkpoint: Checkpoint) -> Bert:
    """The trunk with the checkpoint's weights.

    Weights of heads are left aside, and a missing pooler starts anew, which is logged. Raises `InputError` that lists
    every other name that is missing or that nothing here is called, and every shape that is another.
    """
    model = bert.build(checkpoint.spec, checkpoint.inventory)
    names = _trunk_names(checkpoint.spec)
    if not any(name in checkpoint.weights for name in POOLER):
        log.warning("%s: no pooler among the weights; it starts anew", checkpoint.where)
        names = {ours: theirs for ours, theirs in names.items() if theirs[0] not in POOLER}
    known = {theirs for parts in names.values() for theirs in parts}
    unexpected = [name for name in checkpoint.weights if name not in known and not name.startswith(HEADS)]
    _fill(model, names, checkpoint, unexpected)
    return model


def load_masked_lm(head: MaskedLM, checkpoint: Checkpoint) -> None:
    """Gives the head of masked language modelling the checkpoint's weights; a tied one has its trunk's embeddings.

    Raises `InputError` where names or shapes differ, and where a tied head is to get a matrix of its own.
    """
    names = {ours: (theirs,) for ours, theirs in MASKED_LM.items()}
    embeddings = EMBEDDINGS["encoder.token_embedding.weight"]
    own = DECODER if DECODER in checkpoint.weights else embeddings
    if not head.spec.tie_embeddings:
        names["decoder.weight"] = (own,)
    elif not torch.equal(checkpoint.weights[own], checkpoint.weights[embeddings]):
        raise InputError(f"{checkpoint.where}: {DECODER} is not the embeddings; set objective.tie_embeddings to false")
    _fill(head, names, checkpoint)


def load_next_sentence(head: NextSentence, checkpoint: Checkpoint) -> None:
    """Gives the head of next sentence prediction, and the pooler that it reads, the checkpoint's weights."""
    names = {ours: (theirs,) for ours, theirs in NEXT_SENTENCE.items()}
    _fill(head, {**names, **{name: (name,) for name in POOLER}}, checkpoint)


def _trunk_names(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Our names, and for each the names of what it holds, laid row under row."""
    names: dict[str, tuple[str, ...]] = {ours: (theirs,) for ours, theirs in EMBEDDINGS.items()}
    if not spec.type_vocab_size:
        del names["encoder.token_type_embedding.weight"]
    for kind in ("weight", "bias"):
        names[f"pooler.dense.{kind}"] = (f"pooler.dense.{kind}",)
        names[f"encoder.embedding_norm.{kind}"] = (f"embeddings.LayerNorm.{kind}",)
        for layer in range(spec.num_hidden_layers):
            ours, theirs = f"encoder.blocks.{layer}", f"encoder.layer.{layer}"
            qkv = tuple(f"{theirs}.attention.self.{part}.{kind}" for part in ("query", "key", "value"))
            names[f"{ours}.attention.projection.{kind}"] = qkv
            names |= {f"{ours}.{one}.{kind}": (f"{theirs}.{other}.{kind}",) for one, other in BLOCK.items()}
    return names


@torch.no_grad()
def _fill(
    module: nn.Module,
    names: Mapping[str, tuple[str, ...]],
    checkpoint: Checkpoint,
    unexpected: Iterable[str] = (),
) -> None:
    """Copies the weights of `names` into the module, all or none of them."""
    weights = checkpoint.weights
    missing = [theirs for parts in names.values() for theirs in parts if theirs not in weights]
    found: dict[str, Tensor] = {}
    shapes = []
    for ours, parts in names.items():
        if any(theirs in missing for theirs in parts):
            continue
        target = module.get_parameter(ours)
        expected = (target.shape[0] // len(parts), *target.shape[1:])
        wrong = [theirs for theirs in parts if tuple(weights[theirs].shape) != expected]
        shapes += [f"{theirs} {tuple(weights[theirs].shape)} for {expected}" for theirs in wrong]
        if not wrong:
            found[ours] = torch.cat([weights[theirs] for theirs in parts])
    faults = {"missing": missing, "unexpected": list(unexpected), "of another shape": shapes}
    told = "; ".join(f"{what}: {', '.join(sorted(which))}" for what, which in faults.items() if which)
    if told:
        raise InputError(f"{checkpoint.where}: the weights are not those that {CONFIG} speaks of: {told}")
    for ours, values in found.items():
        module.get_parameter(ours).copy_(values)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot read this model's sizes ({fault})") from fault
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a mapping of names to values, got {type(config).__name__}")
    for name, ours in (("model_type", "bert"), ("position_embedding_type", "absolute"), ("is_decoder", False)):
        if config.get(name) not in (None, ours):
            raise InputError(f"{path}: {name} {config[name]!r} is another model; only {ours!r} can be read")
    return config


def _activation(folder: Path, config: Mapping[str, Any]) -> str:
    name = config.get("hidden_act", "gelu")
    if name not in ACTIVATIONS:
        raise InputError(f"{folder / CONFIG}: hidden_act {name!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _whole_number(folder: Path, config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{folder / CONFIG}: {name} must be a whole number above 0, got {value!r}")
    return value


def _weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder, in one file or several, under the reference's names of today."""
    files = [folder / WEIGHTS]
    if not files[0].exists() and (folder / SHARDS).exists():
        files = [folder / name for name in sorted(set(_index(folder / SHARDS).values()))]
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= {_todays_name(name): values for name, values in load_file(file).items()}
        except (OSError, SafetensorError) as fault:
            raise InputError(f"{file}: cannot read these weights ({fault}); give them as safetensors") from fault
    return {name: values.float() for name, values in weights.items() if name not in BUFFERS}


def _index(path: Path) -> dict[str, str]:
    try:
        index: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if any(Path(name).name != name for name in index.values()):
            raise ValueError("a file outside this folder is named")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(f"{path}: not an index of weights ({fault!r})") from fault
    return index


def _todays_name(name: str) -> str:
    """The name without the prefix of the whole model, and norms' gamma and beta as weight and bias."""
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name.removeprefix("bert.")))
