"""Owns what is known of each make of identity provider, as data: defaults, steps, copy fields, mishaps.

Does not own protocols, pages, or anything that runs at sign-in: a preset fills in a connection's settings.
Pages and commands read ``PRESETS``; a preset is one module with one ``PRESET``, and its name in ``_MODULES``.
"""

from collections.abc import Mapping
from importlib import import_module

from idp_connectors.presets.preset import Preset

_MODULES = (
    "okta",
    "entra",
    "google",
    "adfs",
    "keycloak",
    "generic",
)

PRESETS: Mapping[str, Preset] = {
    name: import_module(f"idp_connectors.presets.{name}").PRESET for name in _MODULES
}
"""Every preset under its name, in the order in which they are offered."""

__all__ = ["PRESETS", "Preset"]
