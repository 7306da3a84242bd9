"""`Recipe`: one trainable thing, whole, as plain data: data, text, batches, model, objectives, training, seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from clearhead.batches.sampling import BatchSpec
from clearhead.errors import InputError, did_you_mean
from clearhead.jobs.data import Absent, DataSpec
from clearhead.models import menu as models
from clearhead.objectives import menu as objectives
from clearhead.spec import SpecModel, override, parse_yaml, read_yaml, validate
from clearhead.text.tokenized import TextSpec
from clearhead.training.spec import BUDGETS, TrainingSpec

SIZES = ("sequences", "tokens")


class Stage(SpecModel):
    """What the trunk is trained on before: another objective, with its own training."""

    objective: dict[str, Any]
    training: TrainingSpec


class Recipe(SpecModel):
    """What is trained. `model` and `objective` are read by the `Spec` of the file that their `name` chooses.

    `beside` is a second objective on the same trunk; `turns`: both of every batch, or a batch each. `pretrain` comes
    first, stage by stage. `init` names an earlier run whose trunk this one starts from.
    """

    data: DataSpec = DataSpec()
    text: TextSpec = TextSpec()
    batches: BatchSpec = BatchSpec()
    model: dict[str, Any]
    objective: dict[str, Any]
    beside: dict[str, Any] | None = None
    turns: Literal["joint", "alternating"] = "joint"
    pretrain: tuple[Stage, ...] = ()
    training: TrainingSpec
    init: Annotated[str | None, Absent] = None
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

    A budget (`training.steps`, ...) or batch size (`batches.sequences`, `.tokens`) that is overridden takes the place
    of the one that stands; a `name` that is overridden leaves the fields of the old one behind.
    """
    merged = dict(data)
    for assignment in overrides:
        merged = override(_making_way(merged, assignment.partition("=")[0]), [assignment])
    recipe = validate(Recipe, merged)
    chosen: dict[str, Any] = {
        "model": _chosen(recipe.model, "model", models),
        "objective": _chosen(recipe.objective, "objective", objectives),
        "pretrain": tuple(
            stage.model_copy(update={"objective": _chosen(stage.objective, f"pretrain.{i}.objective", objectives)})
            for i, stage in enumerate(recipe.pretrain)
        ),
    }
    if recipe.beside is not None:
        chosen["beside"] = _chosen(recipe.beside, "beside", objectives)
    elif recipe.turns != "joint":
        raise InputError("turns: alternating needs two objectives; give beside, or take it out")
    return recipe.model_copy(update=chosen)


def _making_way(merged: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The data without the rivals of the key that is about to be set."""
    *path, field = key.split(".")
    rivals = {"training": BUDGETS, "batches": SIZES}.get(path[-1] if path else "", ())
    if field not in rivals:
        return dict(merged)
    copied = override(merged, [])
    section: Any = copied
    for part in path:
        section = section[int(part)] if isinstance(section, list) and part.isdigit() else section.get(part, {})
        if not isinstance(section, dict | list):
            return copied
    for rival in rivals:
        section.pop(rival, None)
    return copied


def _chosen(section: Mapping[str, Any], where: str, menu: Any) -> dict[str, Any]:
    """The section with every field of the `Spec` that its name chooses."""
    fields = dict(section)
    if "name" not in fields:
        raise InputError(f"{where}.name: this key is missing")
    name = fields.pop("name")
    spec: type[BaseModel] = menu.load(name).Spec
    return {"name": name, **validate(spec, fields, where).model_dump(mode="json")}
