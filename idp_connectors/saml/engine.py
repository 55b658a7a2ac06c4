"""Runs python3-saml, strict, over a screened document, and hands back the bytes that are really signed.

What the broker reads afterwards is parsed anew from those bytes; the document that arrived is not read again.
"""

import base64
import hashlib
import hmac
import threading
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import BINDING_POST, NAMEID_PERSISTENT
from idp_connectors.saml.prescreen import ScreenedResponse, parse_strictly
from idp_connectors.saml.signature_shape import ScreenedSignature

_moment: ContextVar[int] = ContextVar("saml_moment")


def require_native_libraries() -> None:
    """Raise ConnectorError unless lxml and xmlsec carry the same libxml2; other connectors do not care."""
    try:
        import xmlsec
    except Exception as error:
        raise _unusable(f"xmlsec: {error}") from error
    versions = {etree.LIBXML_VERSION, etree.LIBXML_COMPILED_VERSION, tuple(xmlsec.get_libxml_version())}
    # Without this: two builds of libxml2 work on the same trees, and memory is corrupted at run time.
    if len(versions) != 1:
        raise _unusable(f"lxml and xmlsec carry different libxml2 builds: {sorted(versions)}")


def verify_signatures(
    screened: ScreenedResponse,
    config: SamlConfig,
    *,
    entity_id: str,
    callback_url: str,
    request_id: str,
    now: int,
) -> None:
    """Return if python3-saml accepts the document in strict mode; raises ConnectorError."""
    library = _library()
    settings = library.settings_class(
        library_settings(config, entity_id=entity_id, callback_url=callback_url)
    )
    token = _moment.set(now)
    try:
        response = library.response.OneLogin_Saml2_Response(
            settings, base64.b64encode(screened.document).decode()
        )
        # Never without the request id: the library then accepts answers to other requests.
        response.is_valid(_request_data(callback_url), request_id, raise_exceptions=True)
    except Exception as error:
        # python3-saml raises several families of exceptions, some bare; each of them means "no".
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            "The identity provider's answer was not accepted.",
            detail=f"python3-saml: {type(error).__name__}: {error}",
        ) from error
    finally:
        _moment.reset(token)


def signed_bytes(found: ScreenedSignature) -> bytes:
    """Return the canonical bytes that this (verified) signature covers; raises ConnectorError.

    Their digest must be the one in SignedInfo: the proof that these bytes, and no others, are signed.
    """
    # Written out and parsed again, the element keeps the namespaces that its ancestors declare; a copied
    # element would lose those that only values such as xsi:type use.
    covered = parse_strictly(etree.tostring(found.parent, encoding="utf-8", with_tail=False))
    _remove_keeping_tail(covered, covered[found.parent.index(found.element)])
    canonical: bytes = etree.tostring(
        covered,
        method="c14n",
        exclusive=True,
        with_comments=False,
        with_tail=False,
        inclusive_ns_prefixes=list(found.inclusive_prefixes),
    )
    digest = base64.b64encode(hashlib.new(found.digest, canonical).digest()).decode()
    # Without this: identity is read from something else than what was signed (CVE-2025-54419).
    if not canonical or not hmac.compare_digest(digest, found.digest_value):
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            "The identity provider's answer was not accepted.",
            detail="the digest does not match the canonical bytes",
        )
    return canonical


def library_settings(config: SamlConfig, *, entity_id: str, callback_url: str) -> dict[str, Any]:
    """Return python3-saml's settings: always strict, keys from the connection, URLs from configuration."""
    return {
        "strict": True,
        "debug": False,
        "sp": {
            "entityId": entity_id,
            "assertionConsumerService": {"url": callback_url, "binding": BINDING_POST},
            "NameIDFormat": NAMEID_PERSISTENT,
        },
        "idp": {
            "entityId": config.idp_entity_id,
            "singleSignOnService": {"url": config.sso_url},
            "x509certMulti": {"signing": list(config.certificates)},
        },
        "security": {
            "wantAssertionsSigned": config.assertion_signed,
            "wantMessagesSigned": config.response_signed,
            "rejectDeprecatedAlgorithm": True,
            "requestedAuthnContext": False,
            "wantAttributeStatement": False,
            "wantNameId": False,
            "allowRepeatAttributeName": False,
            "allowSingleLabelDomains": True,
        },
    }


def _request_data(callback_url: str) -> dict[str, Any]:
    # Without this: the library believes the Host header about which address it was reached at.
    parts = urlsplit(callback_url)
    return {
        "https": "on" if parts.scheme == "https" else "off",
        "http_host": parts.netloc,
        "script_name": parts.path,
        "get_data": {},
        "post_data": {},
    }


class _Library:
    """python3-saml as it is used here: on the caller's clock, and with its schema compiled once."""

    def __init__(self, response: ModuleType, settings_class: Any) -> None:
        self.response = response
        self.settings_class = settings_class


@cache
def _library() -> _Library:
    require_native_libraries()
    from onelogin.saml2 import response
    from onelogin.saml2.settings import OneLogin_Saml2_Settings
    from onelogin.saml2.utils import OneLogin_Saml2_Utils
    from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

    class ClockedUtils(OneLogin_Saml2_Utils):  # type: ignore[misc]
        """The library's helpers with the injected clock in place of the system's."""

        @staticmethod
        def now() -> int:
            return _moment.get()

    class CompiledSchemas(OneLogin_Saml2_XML):  # type: ignore[misc]
        """The library's XML helpers; a schema costs half of a validation and never changes."""

        @staticmethod
        def validate_xml(xml: Any, schema: str, debug: bool = False) -> Any:
            return _validate(xml, Path(response.__file__).parent / "schemas" / schema)

    # Only the response module sees these names replaced; the rest of the library keeps its own.
    response.OneLogin_Saml2_Utils = ClockedUtils
    response.OneLogin_Saml2_XML = CompiledSchemas
    return _Library(response, OneLogin_Saml2_Settings)


_schema_lock = threading.Lock()


@cache
def _schema(path: Path) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(path)))


def _validate(xml: Any, path: Path) -> Any:
    with _schema_lock:
        return xml if _schema(path).validate(xml) else "invalid_xml"


def _remove_keeping_tail(parent: etree._Element, child: etree._Element) -> None:
    """Remove `child` as the enveloped-signature transform does: the text after it stays."""
    previous = child.getprevious()
    if child.tail:
        if previous is not None:
            previous.tail = (previous.tail or "") + child.tail
        else:
            parent.text = (parent.text or "") + child.tail
    child.tail = None
    parent.remove(child)


def _unusable(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.LIBRARY_UNUSABLE,
        "SAML sign-in is not available on this server.",
        detail=detail,
    )
