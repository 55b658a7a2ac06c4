"""The demo world: three identity providers, an MCP server, two agents and a guided journey.

Owns everything that stands around the broker in a demonstration; nothing here is used by the product.
Only the command line and the tests may import it.
"""
