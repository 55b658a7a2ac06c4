"""Owns SCIM 2.0 per tenant: people and groups as an identity provider pushes them, its tokens, its log.

Does not sign anybody in and computes no role; it tells the directory who is who, who may be here, and groups.
The composition root mounts its view; the command line and administration pages call its functions.
"""
