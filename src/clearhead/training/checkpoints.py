"""A run on disk: weights and what they need to be used again, in one folder that is whole or absent.

Every file's SHA-256 stands in a manifest and is verified when it is read, for a flipped bit loads without an error.
Weights are safetensors: loading them runs no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from clearhead.errors import InputError, MachineError
from clearhead.files import make_folder, write_whole

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
NAMES_SHOWN = 3


def check_vacant(folder: Path) -> None:
    """Raises `InputError` where something stands at `folder` already: a run is never overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something here already, and it is not overwritten; name another --out")


def keep_run(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes all `files` and their manifest under a temporary name, then gives the folder its own.

    Raises `InputError` where the folder is taken, `MachineError` where the disk refuses; then nothing is left behind.
    """
    check_vacant(folder)
    temporary = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}")
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        make_folder(temporary)
        for name, content in files.items():
            write_whole(temporary / name, content)
        write_whole(temporary / MANIFEST, json.dumps({"format": FORMAT, "sha256": hashes}, indent=1))
        with contextlib.suppress(OSError):
            folder.rmdir()
        temporary.rename(folder)
    except OSError as fault:
        raise MachineError(
            f"{folder}: cannot write ({fault.strerror}); free some space or name another --out"
        ) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def read_run(folder: Path) -> dict[str, bytes]:
    """The files of a run by name, each verified. Raises `InputError` for what is no run, incomplete or altered."""
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: not a run (no {MANIFEST} in it); give the --out folder of clearhead train")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        made_by, hashes = manifest["format"], dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise InputError(f"{folder / MANIFEST}: damaged; take another copy of the run, or train it again") from fault
    if made_by != FORMAT:
        raise InputError(f"{folder}: a run of format {made_by}, and this version reads {FORMAT}; update clearhead")
    return {name: _verified(folder / Path(name).name, digest) for name, digest in hashes.items()}


def _verified(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path}: cannot read it ({fault.strerror}); the run is not whole") from fault
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: not what was saved (its SHA-256 differs); take another copy, or train it again")
    return content


def weights_of(module: nn.Module) -> bytes:
    """All parameters and buffers as safetensors; what is tied is written once."""
    return safetensors.torch.save(_untied(module))


def _untied(module: nn.Module) -> dict[str, Tensor]:
    written: dict[str, Tensor] = {}
    places: set[tuple[int, torch.Size]] = set()
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and place in places:
            continue
        places.add(place)
        written[name] = tensor.detach().cpu().contiguous()
    return written


def load_weights(module: nn.Module, content: bytes, where: str) -> None:
    """Gives `module` the weights that `weights_of` wrote. Raises `InputError` where names or shapes are others."""
    found = _tensors(content, where)
    wanted = _untied(module)
    _check_names("lacks", wanted.keys() - found.keys(), where)
    _check_names("has also", found.keys() - wanted.keys(), where)
    for name, tensor in sorted(found.items()):
        if tensor.shape != wanted[name].shape:
            got, want = tuple(tensor.shape), tuple(wanted[name].shape)
            raise InputError(f"{where}: {name} is {got} there and {want} in this model; the recipes differ")
    module.load_state_dict(found, strict=False)


def start_from(trunk: nn.Module, content: bytes, where: str) -> list[str]:
    """Gives a trunk the weights of an earlier run's trunk, by name; returns the names that keep their fresh values.

    Raises `InputError` where a shape differs or no name is shared: then it is another model.
    """
    prefix = "model."
    tensors = _tensors(content, where).items()
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors if name.startswith(prefix)}
    own = trunk.state_dict()
    shared = {name: tensor for name, tensor in found.items() if name in own}
    if not shared:
        raise InputError(f"init: {where} holds another model: no weight of it has a name in this one")
    for name, tensor in sorted(shared.items()):
        if tensor.shape != own[name].shape:
            raise InputError(
                f"init: {name} is {tuple(tensor.shape)} in {where} and {tuple(own[name].shape)} in this recipe; "
                "give the model the same sizes, and leave text as the earlier run has it"
            )
    trunk.load_state_dict(shared, strict=False)
    tied = {name for name, tensor in own.items() if any(tensor.data_ptr() == own[other].data_ptr() for other in shared)}
    return sorted(own.keys() - shared.keys() - tied)


def _tensors(content: bytes, where: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as fault:
        raise InputError(f"{where}: not safetensors ({fault}); take another copy, or train it again") from fault


def _check_names(what: str, names: set[str], where: str) -> None:
    if names:
        shown = ", ".join(sorted(names)[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        raise InputError(f"{where}: the file {what} {shown}; it was saved from another recipe")
