"""The one accepted shape of `ds:Signature`: enveloped, one reference to its parent, known algorithms."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from lxml import etree

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.names import DIGESTS, ENVELOPED, EXCLUSIVE_C14N, SIGNATURE_METHODS, signature

_INCLUSIVE_NAMESPACES = f"{{{EXCLUSIVE_C14N}}}InclusiveNamespaces"
_NC_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_KEY_INFO = frozenset(signature(name) for name in ("X509Data", "KeyName", "KeyValue"))


@dataclass(frozen=True, slots=True)
class ScreenedSignature:
    """What a signature of the accepted shape says; whether it is true is for the verifier."""

    element: etree._Element
    parent: etree._Element


def screen_signature(element: etree._Element) -> ScreenedSignature:
    """Return the parts of a `ds:Signature` of the accepted shape; raises ConnectorError for any other."""
    parent = element.getparent()
    if parent is None:
        raise _refuse("a signature without a parent")
    parts = _children(element, "SignedInfo", "SignatureValue", optional="KeyInfo")
    _require_plain(parts["SignatureValue"])
    _screen_key_info(parts.get("KeyInfo"))
    # One SignedInfo, one Reference. Without this: the verified one and the one that is read may differ
    # (CVE-2025-29774).
    info = _children(parts["SignedInfo"], "CanonicalizationMethod", "SignatureMethod", "Reference")
    if info["CanonicalizationMethod"].get("Algorithm") != EXCLUSIVE_C14N:
        raise _refuse("SignedInfo is not canonicalised exclusively")
    _screen_prefixes(info["CanonicalizationMethod"])
    _require_plain(info["SignatureMethod"])
    # Without this: SHA-1 collides, and HMAC takes the public certificate as its secret.
    _require_algorithm(info["SignatureMethod"], SIGNATURE_METHODS)
    reference = info["Reference"]
    own_id = parent.get("ID")
    # Without this: the signature covers some other element, or the whole document minus what was wrapped.
    if not own_id or reference.keys() != ["URI"] or reference.get("URI") != f"#{own_id}":
        raise _refuse("the reference does not name the signature's parent")
    referred = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    _require_plain(referred["DigestMethod"])
    _require_algorithm(referred["DigestMethod"], DIGESTS)
    _require_plain(referred["DigestValue"])
    _screen_transforms(referred["Transforms"])
    return ScreenedSignature(element, parent)


def _screen_transforms(transforms: etree._Element) -> None:
    """Refuse every transform but the enveloped signature's, followed by exclusive canonicalisation."""
    found = list(transforms)
    algorithms = [transform.get("Algorithm") for transform in found]
    # Without this: XSLT, XPath and base64 transforms run attacker-chosen programs before the signature is
    # known to be good, or choose what is signed.
    if algorithms != [ENVELOPED, EXCLUSIVE_C14N] or any(
        transform.tag != signature("Transform") for transform in found
    ):
        raise _refuse(f"transforms {algorithms!r:.200}")
    _require_plain(found[0])
    _screen_prefixes(found[1])


def _screen_prefixes(method: etree._Element) -> None:
    """Let a canonicalisation method hold a short list of namespace prefixes that it keeps."""
    children = list(method)
    if not children:
        return
    if len(children) != 1 or children[0].tag != _INCLUSIVE_NAMESPACES or len(children[0]):
        raise _refuse("a canonicalisation method has unknown content")
    prefixes = tuple(children[0].get("PrefixList", "").split())
    if len(prefixes) > 20 or not all(_NC_NAME.fullmatch(prefix) for prefix in prefixes):
        raise _refuse("a strange list of namespace prefixes")


def _screen_key_info(key_info: etree._Element | None) -> None:
    """Allow a KeyInfo that only describes a key: nothing in it is read, and nothing in it may point away."""
    for child in key_info if key_info is not None else ():
        if child.tag not in _KEY_INFO:
            raise _refuse(f"KeyInfo holds {child.tag!r:.120}")


def _children(element: etree._Element, *names: str, optional: str = "") -> dict[str, etree._Element]:
    """Return the children by name if they are exactly these, in this order."""
    wanted = [signature(name) for name in names]
    found = [child.tag for child in element]
    if found != wanted and not (optional and found == [*wanted, signature(optional)]):
        raise _refuse(f"{etree.QName(element).localname} has other content than expected")
    keys: list[str] = [*names, optional][: len(found)]
    return {name: element[place] for place, name in enumerate(keys)}


def _require_plain(element: etree._Element) -> None:
    if len(element):
        raise _refuse(f"{etree.QName(element).localname} has child elements")


def _require_algorithm(element: etree._Element, allowed: Collection[str]) -> None:
    algorithm = element.get("Algorithm")
    if algorithm not in allowed:
        raise ConnectorError(
            ConnectorErrorCode.ALGORITHM_REFUSED,
            "The identity provider signs with an algorithm that is not accepted. Use SHA-256.",
            detail=f"{etree.QName(element).localname} {algorithm!r:.120}",
        )


def _refuse(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.DOCUMENT_REFUSED,
        "The identity provider's answer has a shape that is not accepted.",
        detail=detail,
    )
