"""Owns sign-in by password and group lookup at LDAP directories and Active Directory.

Does not own sessions, attempt limits or what a group means. Called through the registry only;
ldap3 is used here and nowhere else.
"""

from idp_connectors.ldap.connector import LdapConnector

__all__ = ["LdapConnector"]
