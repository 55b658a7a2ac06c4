"""Owns sign-in by SAML 2.0: the request, the screening of the answer, its signatures and its meaning.

Does not own sessions, browser binding or what a group means. Called through the registry only; python3-saml
and xmlsec are used here and nowhere else, and are loaded when the first answer arrives.
"""

from idp_connectors.saml.connector import SamlConnector

__all__ = ["SamlConnector"]
