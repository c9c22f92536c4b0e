"""Readers of image sets, a module for each source that `data.path` may name; `read.py` chooses between them."""
