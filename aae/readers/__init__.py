"""Readers of image sets, one module per source that `data.path` may name. `read.py` selects the reader."""
