"""Owns the declared configuration: one YAML document that is checked whole and applied in one transaction.

Deletes nothing and revives nothing: what a document does not name is left alone.
Called by the command line and the demo; it writes through the registries of tenants, directory and agents.
"""

from broker.agents.declare.apply import Offer, apply_document
from broker.agents.declare.document import parse_document
from broker.agents.declare.faults import DocumentRefused

__all__ = ["DocumentRefused", "Offer", "apply_document", "parse_document"]
