"""`Recipe`: one trainable thing, whole, as plain data: text, batches, model, objective, training, seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from clearhead.batches.sampling import BatchSpec
from clearhead.errors import InputError, did_you_mean
from clearhead.models import menu as models
from clearhead.objectives import menu as objectives
from clearhead.spec import SpecModel, override, parse_yaml, read_yaml, validate
from clearhead.text.tokenized import TextSpec
from clearhead.training.spec import TrainingSpec

BUDGETS = ("steps", "tokens", "seconds")
SIZES = ("sequences", "tokens")


class Recipe(SpecModel):
    """What is trained. `model` and `objective` are read by the `Spec` of the file that their `name` chooses."""

    text: TextSpec = TextSpec()
    batches: BatchSpec = BatchSpec()
    model: dict[str, Any]
    objective: dict[str, Any]
    training: TrainingSpec
    seed: int = Field(default=0, ge=0, lt=2**32)


def recipe_names() -> list[str]:
    """The recipes that ship in the package."""
    folder = resources.files("clearhead.recipes")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """The plain data of a shipped recipe, by name, or of a YAML file, by path. Raises `InputError`."""
    if name in recipe_names():
        return parse_yaml((resources.files("clearhead.recipes") / f"{name}.yaml").read_text(encoding="utf-8"), name)
    if Path(name).is_file():
        return read_yaml(Path(name))
    offered = recipe_names()
    raise InputError(
        f"{name}: no such recipe file, and not one of the shipped {', '.join(offered)}{did_you_mean(name, offered)}"
    )


def resolve(data: Mapping[str, Any], overrides: Iterable[str] = ()) -> Recipe:
    """The recipe that plain data and dotted overrides give, checked to the last field. Raises `InputError`.

    A budget (`training.steps`, `.tokens`, `.seconds`) or batch size (`batches.sequences`, `.tokens`) that is overridden
    takes the place of the one that stands.
    """
    merged = dict(data)
    for assignment in overrides:
        section, _, field = assignment.partition("=")[0].partition(".")
        rivals = {"training": BUDGETS, "batches": SIZES}.get(section, ())
        stands = merged.get(section)
        if field in rivals and isinstance(stands, dict):
            merged[section] = {key: kept for key, kept in stands.items() if key not in rivals}
        merged = override(merged, [assignment])
    recipe = validate(Recipe, merged)
    chosen = {
        "model": _chosen(recipe.model, "model", models),
        "objective": _chosen(recipe.objective, "objective", objectives),
    }
    return recipe.model_copy(update=chosen)


def _chosen(section: Mapping[str, Any], where: str, menu: Any) -> dict[str, Any]:
    """The section with every field of the `Spec` that its name chooses."""
    fields = dict(section)
    if "name" not in fields:
        raise InputError(f"{where}.name: this key is missing")
    name = fields.pop("name")
    spec: type[BaseModel] = menu.load(name).Spec
    return {"name": name, **validate(spec, fields, where).model_dump(mode="json")}
