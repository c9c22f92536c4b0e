"""The kinds of models, one module each. `aae.models.find_kind` finds them by name."""
