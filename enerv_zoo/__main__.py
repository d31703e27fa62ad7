"""`python -m enerv_zoo`: the same as `enerv-zoo`."""

from enerv_zoo.cli import main

main()
