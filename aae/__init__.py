"""Adversarial autoencoders with reproducible randomness: models, training, metrics and the native ops."""
