"""Runs python3-saml, strict, over a screened document: the first of two verifications.

Its word is only "yes" or "no"; what is read afterwards comes from the second one.
"""

import base64
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import BINDING_POST, NAMEID_PERSISTENT, assertion
from idp_connectors.saml.prescreen import ScreenedResponse, parse_strictly

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
    received: ScreenedResponse,
    clear: ScreenedResponse,
    config: SamlConfig,
    *,
    entity_id: str,
    callback_url: str,
    request_id: str,
    now: int,
) -> None:
    """Return if python3-saml accepts the document in strict mode; raises ConnectorError.

    `clear` is `received` with its assertion in the clear, or the same where nothing was encrypted.
    """
    library = _library()
    settings = _read_settings(config, entity_id, callback_url)
    token = _moment.set(now)
    try:
        response = library.response_class(settings, received.document, clear.document)
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


@lru_cache(maxsize=256)
def _read_settings(config: SamlConfig, entity_id: str, callback_url: str) -> Any:
    """Return the library's settings object, which a validation only reads; it is made once per connection."""
    return _library().settings_class(library_settings(config, entity_id=entity_id, callback_url=callback_url))


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


@dataclass(frozen=True, slots=True)
class _Library:
    """python3-saml as it is used here: on the caller's clock, and with its schema compiled once."""

    response_class: Any
    settings_class: Any


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

        # One response names the same few moments again and again.
        parse_SAML_to_time = staticmethod(  # noqa: N815 (the library's name)
            lru_cache(maxsize=256)(OneLogin_Saml2_Utils.parse_SAML_to_time)
        )

    class CompiledXml(OneLogin_Saml2_XML):  # type: ignore[misc]
        """The library's XML helpers with what never changes compiled once: its schema and its paths.

        The schema alone costs half of a validation.
        """

        @staticmethod
        def query(dom: Any, query: str, context: Any = None, tagid: Any = None) -> Any:
            source = dom if context is None else context
            return _path(query)(source) if tagid is None else _path(query)(source, tagid=tagid)

        @staticmethod
        def validate_xml(xml: Any, schema: str, debug: bool = False) -> Any:
            # The schemas are older than XML Encryption 1.1. What is encrypted has been read strictly, and
            # the document is validated with what was inside.
            if xml.find(assertion("EncryptedAssertion")) is not None:
                return xml
            return _validate(xml, Path(response.__file__).parent / "schemas" / schema)

    class OpenedResponse(response.OneLogin_Saml2_Response):  # type: ignore[misc]
        """The library's response, which never decrypts: it is given what was opened before."""

        def __init__(self, settings: Any, received: bytes, clear: bytes) -> None:
            self._clear = clear
            super().__init__(settings, base64.b64encode(received).decode())

        def _decrypt_assertion(self, xml: Any) -> Any:
            return parse_strictly(self._clear)

    # Only the response module sees these names replaced; the rest of the library keeps its own.
    response.OneLogin_Saml2_Utils = ClockedUtils
    response.OneLogin_Saml2_XML = CompiledXml
    return _Library(OpenedResponse, OneLogin_Saml2_Settings)


@lru_cache(maxsize=256)
def _path(query: str) -> etree.XPath:
    from onelogin.saml2.constants import OneLogin_Saml2_Constants

    return etree.XPath(query, namespaces=OneLogin_Saml2_Constants.NSMAP)


_schema_lock = threading.Lock()


@cache
def _schema(path: Path) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(path)))


def _validate(xml: Any, path: Path) -> Any:
    with _schema_lock:
        return xml if _schema(path).validate(xml) else "invalid_xml"


def _unusable(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.LIBRARY_UNUSABLE,
        "SAML sign-in is not available on this server.",
        detail=detail,
    )
