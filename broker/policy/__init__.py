"""Owns the pure decisions: which roles a person's groups give, and how far a delegated token may reach.
Owns no storage, clock, network or framework: facts come in as frozen values, answers go out as frozen values.
Rooms above floor 2 may call it (directory, agents, tokens, oauth, approvals, admin); it calls nobody."""
