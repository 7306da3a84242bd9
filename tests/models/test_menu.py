"""The menu of models, and what it costs to read it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clearhead.errors import InputError
from clearhead.models.menu import load, model_names


def test_the_folder_is_the_menu() -> None:
    assert model_names() == ["elmo", "transformer_decoder", "transformer_encoder"]


@pytest.mark.parametrize("name", model_names())
def test_a_model_is_a_spec_and_a_build(name: str) -> None:
    module = load(name)
    assert module.Spec.model_config["extra"] == "forbid"
    assert callable(module.build)


@pytest.mark.parametrize("wrong", ["transformer_encodr", "menu", "states"])
def test_an_unknown_name_gets_the_nearest(wrong: str) -> None:
    with pytest.raises(InputError, match=rf"model\.name: '{wrong}' is not one of elmo, transformer_decoder, "):
        load(wrong)
    with pytest.raises(InputError, match="did you mean 'transformer_encoder'"):
        load("transformer_encodr")


def test_the_list_needs_no_torch() -> None:
    code = "import sys; from clearhead.models.menu import model_names; model_names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
