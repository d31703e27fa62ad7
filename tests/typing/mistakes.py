"""Mistakes that a type checker finds: one in every line that says so. It is checked, and not run.

mypy is to find each comment used; pyright is told to leave them out of account.
"""

from __future__ import annotations

import enerv_zoo as ez

ez.fit("bunny", epoch=1)  # type: ignore  # mistake: no such option
ez.fit("bunny", epochs="many")  # type: ignore  # mistake: a number
ez.fit("bunny", precision="float16")  # type: ignore  # mistake: one of three
ez.fit("bunny", frame="0:8")  # type: ignore  # mistake: no such option
ez.fit("bunny", loss=3)  # type: ignore  # mistake: no loss
ez.compare("bunny", ["nerv"], out="x", epoch=1)  # type: ignore  # mistake: no such option
ez.fit_segments("bunny", out="x", batchsize=1)  # type: ignore  # mistake: no such option
ez.open_video("bunny", frames=3)  # type: ignore  # mistake: a text or a slice
ez.load("runs/bunny", divice="cpu")  # type: ignore  # mistake: no such option
ez.load("runs/bunny").fit_again()  # type: ignore  # mistake: no such method
ez.FitConfig(epoch=1)  # type: ignore  # mistake: no such field
print(ez.no_such_name)  # type: ignore  # mistake: no such name
