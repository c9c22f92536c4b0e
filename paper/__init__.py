"""The experiments of the paper (Makhzani et al., arXiv 1511.05644): a DVC pipeline of its own, on the library `aae`."""
