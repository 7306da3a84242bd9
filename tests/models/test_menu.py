"""The menu of models, and what it costs to read it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clearhead.errors import InputError
from clearhead.models.menu import load, model_names


def test_the_folder_is_the_menu() -> None:
    names = model_names()
    assert names == sorted(names)
    assert {"hmm", "lstm", "elmo", "rnn_seq2seq", "transformer_encoder", "bert", "rbm", "sparse_features"} <= set(names)
    assert not {"menu", "states", "fields", "transformer"} & set(names)


@pytest.mark.parametrize("name", model_names())
def test_a_model_is_a_spec_and_a_build(name: str) -> None:
    module = load(name)
    assert module.Spec.model_config["extra"] == "forbid"
    assert callable(module.build)


@pytest.mark.parametrize("wrong", ["transformer_encodr", "menu", "states"])
def test_an_unknown_name_gets_the_nearest(wrong: str) -> None:
    with pytest.raises(InputError, match=rf"model\.name: '{wrong}' is not one of autoencoder, bert, elmo, "):
        load(wrong)
    with pytest.raises(InputError, match="did you mean 'transformer_encoder'"):
        load("transformer_encodr")


def test_the_list_needs_no_torch() -> None:
    code = "import sys; from clearhead.models.menu import model_names; model_names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
