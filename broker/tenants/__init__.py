"""Owns tenants, their settings, connections to identity providers and the e-mail domains that lead there.

Does not know people, agents or tokens; a connection's protocol is the connector's business.
Rooms on higher floors, and directory and agents, may call it.
"""
