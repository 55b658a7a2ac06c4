"""Owns what is special about each kind of corporate identity provider: protocols, presets, claim names.

Does not own configuration rows, sessions, storage or pages, and imports nothing of the broker.
The broker calls it through ``base`` only; the composition root hands over ``registry.CONNECTORS``.
"""
