"""Folders as people have them: every layout reads alike, every fault is listed by name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BertForPreTraining

from clearhead.batches.inputs import from_rows
from clearhead.errors import InputError
from clearhead.interop.bert import load_bert, load_masked_lm, load_next_sentence, read_checkpoint, read_tokenizer
from clearhead.objectives import masked_lm, next_sentence
from clearhead.text.tokenizers import Vocabulary

VOCABULARY = Vocabulary(50)
IDS = [[2, 7, 8, 9, 3], [2, 30, 3, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
Write = Callable[..., Path]


@torch.no_grad()
def states(folder: Path) -> Tensor:
    return load_bert(read_checkpoint(folder, VOCABULARY)).eval()(from_rows(IDS, MASK)).hidden


@torch.no_grad()
def expected(theirs: BertForPreTraining) -> Tensor:
    grid = theirs.bert(torch.tensor(IDS), attention_mask=torch.tensor(MASK)).last_hidden_state
    return grid[torch.tensor(MASK) == 1]


def trunk(theirs: BertForPreTraining) -> dict[str, Tensor]:
    return dict(theirs.bert.state_dict())


def test_with_and_without_the_prefix_and_under_the_old_names(theirs: BertForPreTraining, written: Write) -> None:
    plain = trunk(theirs)
    for weights in (
        plain,
        dict(theirs.state_dict()),
        {**plain, "embeddings.position_ids": torch.arange(24)[None]},
        {n.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): v for n, v in plain.items()},
    ):
        torch.testing.assert_close(states(written(weights)), expected(theirs), rtol=0, atol=1e-5)


def test_a_folder_that_hugging_face_wrote(theirs: BertForPreTraining, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    torch.testing.assert_close(states(tmp_path), expected(theirs), rtol=0, atol=1e-5)
    theirs.save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    torch.testing.assert_close(states(tmp_path / "parts"), expected(theirs), rtol=0, atol=1e-5)


def test_half_precision_is_read_as_float32(theirs: BertForPreTraining, written: Write) -> None:
    half = {name: values.half() for name, values in trunk(theirs).items()}
    found = states(written(half))
    assert found.dtype == torch.float32
    theirs.half().float()
    torch.testing.assert_close(found, expected(theirs), rtol=0, atol=1e-5)


def test_a_missing_pooler_is_told_and_starts_anew(
    theirs: BertForPreTraining, written: Write, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written({name: values for name, values in trunk(theirs).items() if "pooler" not in name})
    with caplog.at_level(logging.WARNING):
        torch.testing.assert_close(states(folder), expected(theirs), rtol=0, atol=1e-5)
    assert "no pooler among the weights" in caplog.text


def test_every_fault_of_the_weights_is_listed(theirs: BertForPreTraining, written: Write) -> None:
    weights = trunk(theirs)
    del weights["embeddings.LayerNorm.bias"], weights["encoder.layer.1.attention.self.key.weight"]
    weights["pooler.dense.bias"] = torch.zeros(3)
    weights["encoder.layer.2.output.dense.bias"] = torch.zeros(16)
    with pytest.raises(InputError) as fault:
        load_bert(read_checkpoint(written(weights), VOCABULARY))
    for part in (
        "missing: embeddings.LayerNorm.bias, encoder.layer.1.attention.self.key.weight;",
        "unexpected: encoder.layer.2.output.dense.bias;",
        "of another shape: pooler.dense.bias (3,) for (16,)",
    ):
        assert part in str(fault.value)


def test_another_size_in_the_config_is_another_shape(theirs: BertForPreTraining, written: Write) -> None:
    with pytest.raises(InputError, match=r"intermediate\.dense\.bias \(40,\) for \(41,\)"):
        load_bert(read_checkpoint(written(trunk(theirs), intermediate_size=41), VOCABULARY))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta' is another model; only 'bert' can be read"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"is_decoder": True}, "is_decoder True is another model"),
        ({"hidden_act": "mish"}, "hidden_act 'mish' is not one of gelu, gelu_new"),
        ({"hidden_size": None}, "hidden_size must be a whole number above 0, got None"),
        ({"num_attention_heads": 3}, "hidden_size 16 is not a multiple of num_attention_heads 3"),
        ({"hidden_dropout_prob": 1.5}, "config.json.hidden_dropout_prob"),
        ({"vocab_size": 49}, "50 tokens, and config.json has vocab_size 49"),
    ],
)
def test_another_kind_of_bert_is_refused_by_name(
    config: dict[str, object], message: str, theirs: BertForPreTraining, written: Write
) -> None:
    with pytest.raises(InputError, match=message):
        read_checkpoint(written(trunk(theirs), **config), VOCABULARY)


def test_missing_and_broken_files_are_named(theirs: BertForPreTraining, written: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: cannot read"):
        read_checkpoint(tmp_path, VOCABULARY)
    folder = written(trunk(theirs))
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot read"):
        read_checkpoint(folder)
    whole = (folder / "model.safetensors").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"PK\x03\x04pickle"):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(InputError, match=r"model\.safetensors: cannot read these weights"):
            read_checkpoint(folder, VOCABULARY)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="give them as safetensors"):
        read_checkpoint(folder, VOCABULARY)
    for index in ("[]", '{"weight_map": {"a": "../b.safetensors"}}', '{"weight_map": {"a": 3}}'):
        (folder / "model.safetensors.index.json").write_text(index)
        with pytest.raises(InputError, match="not an index of weights"):
            read_checkpoint(folder, VOCABULARY)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="expected a mapping"):
        read_checkpoint(folder, VOCABULARY)


def test_nothing_is_copied_where_something_is_wrong(theirs: BertForPreTraining, written: Write) -> None:
    weights = {name: values for name, values in theirs.state_dict().items() if name != "cls.predictions.bias"}
    checkpoint = read_checkpoint(written(weights), VOCABULARY)
    model = load_bert(checkpoint)
    head = masked_lm.build(masked_lm.Spec(), model, checkpoint.inventory)
    before = {name: values.clone() for name, values in head.state_dict().items()}
    with pytest.raises(InputError, match=r"missing: cls\.predictions\.bias$"):
        load_masked_lm(head, checkpoint)
    assert all(torch.equal(values, before[name]) for name, values in head.state_dict().items())


def test_a_checkpoint_without_a_head_says_so(theirs: BertForPreTraining, written: Write) -> None:
    checkpoint = read_checkpoint(written(trunk(theirs)), VOCABULARY)
    head = next_sentence.build(next_sentence.Spec(), load_bert(checkpoint), checkpoint.inventory)
    with pytest.raises(InputError, match=r"missing: cls\.seq_relationship\.bias, cls\.seq_relationship\.weight"):
        load_next_sentence(head, checkpoint)


def test_a_downloaded_tokenizer_neither_cuts_nor_fills(tmp_path: Path) -> None:
    tokens = ["[PAD]", *(f"[unused{i}]" for i in range(3)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able", "to"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    file = {
        "version": "1.0",
        "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
            "pad_to_multiple_of": None,
        },
        "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "clean_text": True, "handle_chinese_chars": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.encode(["Unable to"])[0].tolist() == [8, 9, 10]
    assert tokenizer.vocabulary == Vocabulary(11, pad=0, unknown=4, begin=5, end=6, mask=7)
    assert tokenizer.vocabulary.continues == {9}


def test_an_untied_decoder_goes_to_an_untied_head(theirs: BertForPreTraining, written: Write) -> None:
    other = torch.randn(50, 16)
    weights = {**theirs.state_dict(), "cls.predictions.decoder.weight": other}
    checkpoint = read_checkpoint(written(weights), VOCABULARY)
    model = load_bert(checkpoint)
    head = masked_lm.build(masked_lm.Spec(tie_embeddings=False), model, checkpoint.inventory)
    load_masked_lm(head, checkpoint)
    assert torch.equal(head.decoder.weight, other)
    assert torch.equal(model.token_embedding.weight, weights["bert.embeddings.word_embeddings.weight"])
    tied = masked_lm.build(masked_lm.Spec(), model, checkpoint.inventory)
    with pytest.raises(InputError, match="tie_embeddings to false"):
        load_masked_lm(tied, checkpoint)


def test_a_vocabulary_may_be_smaller_than_its_table(theirs: BertForPreTraining, written: Write) -> None:
    """Tables are often filled up to a round number."""
    checkpoint = read_checkpoint(written(trunk(theirs)), Vocabulary(47))
    assert checkpoint.inventory.vocabulary.size == 50
    assert load_bert(checkpoint).token_embedding.num_embeddings == 50
