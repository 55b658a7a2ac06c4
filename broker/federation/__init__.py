"""Owns signing people in and out through a tenant's connections.

Does not verify assertions (connectors do) and keeps no people (directory does); it ends in a redirect.
Only its views and the composition root call it.
"""
