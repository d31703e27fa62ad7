"""Mistakes that a type checker finds: one in every line that says so. It is checked, and not run."""

from __future__ import annotations

import enerv_zoo as ez

ez.fit("bunny", epoch=1)  # mistake: no such option
ez.fit("bunny", epochs="many")  # mistake: a number
ez.fit("bunny", precision="float16")  # mistake: one of three
ez.fit("bunny", frame="0:8")  # mistake: no such option
ez.fit("bunny", loss=3)  # mistake: no loss
ez.compare("bunny", ["nerv"], out="x", epoch=1)  # mistake: no such option
ez.fit_segments("bunny", out="x", batchsize=1)  # mistake: no such option
ez.open_video("bunny", frames=3)  # mistake: a text or a slice
ez.load("runs/bunny", divice="cpu")  # mistake: no such option
ez.load("runs/bunny").fit_again()  # mistake: no such method
ez.FitConfig(epoch=1)  # mistake: no such field
print(ez.no_such_name)  # mistake: no such name
