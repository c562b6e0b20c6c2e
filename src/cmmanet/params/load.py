"""Read params.yaml, and refuse everything that is wrong in it at once."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from cmmanet.params.messages import ParamsError, given, not_yaml, readable
from cmmanet.params.recipe import Recipe
from cmmanet.params.resolve import recipe_of, resolve_arm, resolve_reading
from cmmanet.params.whole import Params


def load_params(path: Path) -> Params:
    """Read and validate `params.yaml`.

    Raises:
        ParamsError: for a file that is not a YAML mapping, an unknown or missing key, or a
            value out of range; the message lists every such key on its own line.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; run from the repository's root") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ParamsError(f"{path}: line {line}: not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: {not_yaml(error)}") from None
    if content is None:
        raise ParamsError(f"{path}: empty; bring it back by: git checkout {path}")
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected keys and values, found {given(content)}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(readable(error, path.name)) from None
    # Also the overrides of datasets that are not run, and variants that are not among the arms: a
    # mistake is better reported before it is used.
    for dataset, data in params.data.items():
        try:
            Recipe.model_validate(recipe_of(params, dataset))
        except ValidationError as error:
            where = f"{path.name}: data.{dataset}.overrides over recipes.{data.recipe}"
            raise ParamsError(readable(error, where)) from None
    for dataset in params.datasets:
        for variant in params.variants:
            resolve_arm(params, dataset, variant)
        for reading in params.readings:
            resolve_reading(params, dataset, reading)
    return params
