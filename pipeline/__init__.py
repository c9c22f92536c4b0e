"""The stages of the pipeline: each module reads its parameters, calls `aae` and writes its outputs."""
