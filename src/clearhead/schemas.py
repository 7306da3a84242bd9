"""The published JSON schemas, from the models that are the contract: `python -m clearhead.schemas docs/schemas`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from clearhead.experiments.answer import Answer, Answers
from clearhead.experiments.comparison import Comparison
from clearhead.files import write_whole

DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def schemas() -> dict[str, str]:
    """`{file name: JSON schema}` of what `ask`, `ask all` and `compare` print with --json, by version."""
    contracts: dict[str, type[BaseModel]] = {"answer": Answer, "answers": Answers, "comparison": Comparison}
    return {
        f"{name}-v{model.model_fields['version'].default}.json": json.dumps(
            {**DIALECT, **model.model_json_schema(mode="serialization")}, indent=1
        )
        + "\n"
        for name, model in contracts.items()
    }


if __name__ == "__main__":
    for file, schema in schemas().items():
        write_whole(Path(sys.argv[1]) / file, schema)
