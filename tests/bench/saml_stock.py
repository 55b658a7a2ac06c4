"""python3-saml as its own documentation has it, strict; its settings are read once, in its favour."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from tests.bench.saml import ATTRIBUTES


class Stock:
    """One service provider made of the library alone."""

    def __init__(
        self, *, config: Mapping[str, Any], entity_id: str, acs_url: str, key: str, certificate: str
    ) -> None:
        idp_certificate = "".join(config["certificates"][0].splitlines()[1:-1])
        self._settings = OneLogin_Saml2_Settings(
            {
                "strict": True,
                "sp": {
                    "entityId": entity_id,
                    "assertionConsumerService": {"url": acs_url},
                    "privateKey": key,
                    "x509cert": certificate,
                },
                "idp": {
                    "entityId": config["idp_entity_id"],
                    "singleSignOnService": {"url": config["sso_url"]},
                    "x509cert": idp_certificate,
                },
                "security": {"wantAssertionsSigned": True, "rejectDeprecatedAlgorithm": True},
            }
        )
        parts = urlsplit(acs_url)
        self._request = {
            "https": "on" if parts.scheme == "https" else "off",
            "http_host": parts.netloc,
            "script_name": parts.path,
            "get_data": {},
        }

    def verify(self, form: Mapping[str, str], request_id: str) -> Any:
        """Return the library's own object for a response that it accepts."""
        auth = OneLogin_Saml2_Auth({**self._request, "post_data": form}, self._settings)
        auth.process_response(request_id=request_id)
        assert auth.is_authenticated(), auth.get_last_error_reason()
        assert auth.get_attributes()["mail"] == ATTRIBUTES["mail"]
        return auth
