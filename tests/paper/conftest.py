"""The small repository of the pipeline's tests."""

from tests.pipeline.conftest import small_repository

__all__ = ["small_repository"]
