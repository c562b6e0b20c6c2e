"""The base of every section and every plan."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Immutable; unknown keys, infinities and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
