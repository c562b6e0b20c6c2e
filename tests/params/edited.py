"""The committed params.yaml with other values."""

import copy
from pathlib import Path
from typing import Any

import yaml
from conftest import REPOSITORY

PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())


def changed(tmp_path: Path, **values: Any) -> Path:
    """Write it, with changes such as `recipes__demo__clip__frames=4`."""
    content = copy.deepcopy(PARAMS)
    for path, value in values.items():
        *parents, last = path.split("__")
        place = content
        for key in parents:
            place = place[key]
        place[last] = value
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file
