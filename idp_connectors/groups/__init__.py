"""Owns asking a provider's management API for a person's groups: Microsoft Graph, Google Directory, Okta.

Does not own sign-in, group claims, or what a group means. Called by connectors, through ``sources``.
"""
