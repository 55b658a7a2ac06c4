"""Owns Flask's side of the authorization server: protocol endpoints, authorize, the pages of signing out.

Decides nothing: the functions beside this package do, and the short lane calls the same ones.
Only the composition root imports it.
"""

from broker.oauth.views.protocol import blueprint

__all__ = ["blueprint"]
