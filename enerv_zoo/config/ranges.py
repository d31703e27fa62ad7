"""Ranges of the numbers in configs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1, le=1 << 31)]
Side = Annotated[int, Field(ge=1, le=65_536)]
Width = Annotated[int, Field(ge=1, le=1 << 20)]
Factor = Annotated[int, Field(ge=1, le=64)]
Bits = Annotated[int, Field(ge=2, le=16)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction01 = Annotated[float, Field(ge=0, lt=1)]
