"""What every section and every plan is."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Keys and values of which none may be unknown, and none is changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
