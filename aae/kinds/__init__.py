"""The kinds of models, a module each; `aae.models.find_kind` finds them by their names."""
