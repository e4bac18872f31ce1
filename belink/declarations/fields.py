"""What every declaration is made of: strict tables of keys, and kinds of numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]  # of something that there must be at least one of
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take


class Declaration(BaseModel):
    """A table of TOML. Unknown keys are errors, so that a typing mistake cannot switch a gate off."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
