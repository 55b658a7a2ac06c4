"""Owns sign-in by OpenID Connect: discovery, the code flow with PKCE, ID-token checks, claims to identity.

Does not own sessions, browser binding of the flow, or what a group means. Called through the registry only.
"""

from idp_connectors.oidc.connector import OidcConnector

__all__ = ["OidcConnector"]
