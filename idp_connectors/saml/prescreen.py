"""Refuses, before any signature code runs, every document shape that no honest identity provider sends.

python3-saml hands the message's own transforms to libxmlsec before a signature is known to be good, so one
unauthenticated XSLT transform can burn minutes of a worker. Nothing that this module refuses gets that far.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from lxml import etree

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.names import (
    ASSERTION,
    ENCRYPTION,
    PROTOCOL,
    SIGNATURE,
    STATUS_SUCCESS,
    assertion,
    protocol,
    signature,
)
from idp_connectors.saml.signature_shape import ScreenedSignature, screen_signature

MAX_BYTES = 256 * 1024
MAX_DEPTH = 50
MAX_NODES = 10_000

_XML_DECLARATION = re.compile(rb"<\?xml[ \t\r\n][^<>?]*\?>")
_OTHER_ENCODING = re.compile(rb"encoding[ \t\r\n]*=[ \t\r\n]*[\"'](?!utf-8[\"'])", re.IGNORECASE)
_NAMESPACE_DECLARATION = re.compile(rb"xmlns(?::[^\s=]+)?\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ABSOLUTE_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:[^&\s]+")
_ID_NAMES = frozenset({"id", "assertionid", "responseid"})
_HOMES = {
    "Assertion": ASSERTION,
    "EncryptedAssertion": ASSERTION,
    "EncryptedAttribute": ASSERTION,
    "EncryptedData": ENCRYPTION,
    "EncryptedID": ASSERTION,
    "EncryptedKey": ENCRYPTION,
    "Response": PROTOCOL,
    "Signature": SIGNATURE,
}
_XMLDSIG = signature("Signature")
_ENCRYPTED = frozenset({"EncryptedAssertion", "EncryptedData", "EncryptedKey"})


@dataclass(frozen=True, slots=True)
class ScreenedResponse:
    """A document of an honest shape. Nothing in it is proven yet.

    `assertion` is the one Assertion, or the one EncryptedAssertion if `is_encrypted`.
    """

    document: bytes
    root: etree._Element
    assertion: etree._Element
    is_encrypted: bool
    response_signature: ScreenedSignature | None
    assertion_signature: ScreenedSignature | None


def decode_response(text: str) -> bytes:
    """Return the bytes of a `SAMLResponse` form value (HTTP-POST binding); raises ConnectorError."""
    if len(text) > MAX_BYTES * 3 // 2:
        raise refuse("the message is longer than 256 KiB")
    try:
        document = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse(f"base64: {error}") from error
    if len(document) > MAX_BYTES:
        raise refuse("the message is longer than 256 KiB")
    return document


def screen_response(document: bytes, *, may_be_encrypted: bool = False) -> ScreenedResponse:
    """Return the parsed document if its shape is one that may be verified; raises ConnectorError."""
    screen_bytes(document)
    root = parse_strictly(document)
    elements = _screen_tree(root, _ENCRYPTED if may_be_encrypted else frozenset())
    if root.tag != protocol("Response"):
        raise refuse(f"the root is {root.tag!r:.120}")
    kinds = (assertion("Assertion"), assertion("EncryptedAssertion"))
    assertions = [element for element in elements if element.tag in kinds]
    if not assertions:
        _tell_refusal(root)
    # Without this: signature wrapping (XSW 1 to 8) has the verifier look at one assertion and the reader at
    # another. With one assertion, directly below the root, there is no other.
    if len(assertions) != 1 or assertions[0].getparent() is not root:
        raise refuse(f"{len(assertions)} assertions, or one that is not a child of the response")
    screened = [screen_signature(element) for element in elements if element.tag == _XMLDSIG]
    by_parent = {id(found.parent): found for found in screened}
    if len(by_parent) != len(screened):
        raise refuse("an element carries two signatures")
    response_signature = by_parent.pop(id(root), None)
    assertion_signature = by_parent.pop(id(assertions[0]), None)
    if by_parent:
        raise refuse("a signature sits elsewhere than on response or assertion")
    return ScreenedResponse(
        document=document,
        root=root,
        assertion=assertions[0],
        is_encrypted=assertions[0].tag == kinds[1],
        response_signature=response_signature,
        assertion_signature=assertion_signature,
    )


def _tell_refusal(root: etree._Element) -> None:
    """Raise ConnectorError if a response without an assertion says why it has none; it can only refuse."""
    codes = [code.get("Value", "") for code in root.iter(protocol("StatusCode"))]
    if codes and codes[0] != STATUS_SUCCESS:
        message = root.findtext(f"{protocol('Status')}/{protocol('StatusMessage')}", "")
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_REFUSED,
            "The identity provider did not sign you in.",
            detail=f"status {[code.rpartition(':')[2] for code in codes]!r:.120} {message!r:.300}",
        )


def parse_strictly(document: bytes) -> etree._Element:
    """Return the root of `document`, parsed without DTD, entities, network or size extension."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_blank_text=False,
        remove_comments=False,
        remove_pis=False,
        strip_cdata=True,
        recover=False,
        encoding="utf-8",
    )
    try:
        return etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise refuse(f"XML: {error}") from error


def screen_bytes(document: bytes) -> None:
    """Return if a byte search finds nothing that must not even reach a parser; raises ConnectorError."""
    if len(document) > MAX_BYTES:
        raise refuse("the message is longer than 256 KiB")
    try:
        document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse("not UTF-8") from error
    declaration = _XML_DECLARATION.match(document)
    # Without this: a reader that follows another declared encoding sees another document.
    if declaration and _OTHER_ENCODING.search(declaration.group()):
        raise refuse("another encoding than UTF-8 is declared")
    body = document[declaration.end() :] if declaration else document
    # `<!` opens comments, DTDs and CDATA; `<?` opens processing instructions. Neither may stand in an
    # attribute value, so a search finds them all. Without this: entity bombs, external entities, and texts
    # that end for one reader at a comment.
    if b"<!" in body.replace(b"<![CDATA[", b"") or b"<?" in body:
        raise refuse("a comment, DTD or processing instruction")
    if body.count(b"<") > 2 * MAX_NODES:
        raise refuse(f"more than {MAX_NODES} elements")
    # Without this: canonicalisation fails for a relative namespace and may digest nothing at all.
    for match in _NAMESPACE_DECLARATION.finditer(body):
        if not _ABSOLUTE_URI.fullmatch(match.group(1) or match.group(2) or b""):
            raise refuse("a namespace is not an absolute URI")


def _screen_tree(root: etree._Element, encrypted: frozenset[str]) -> list[etree._Element]:
    """Return all elements in document order after counting, measuring and comparing ids."""
    elements: list[etree._Element] = []
    ids: set[str] = set()
    tags: set[str] = set()
    nodes = 0
    waiting = [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        attributes = _attributes(element)
        nodes += 1 + len(attributes)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise refuse(f"deeper than {MAX_DEPTH} or more than {MAX_NODES} nodes")
        tag = element.tag
        if not isinstance(tag, str):
            raise refuse("a node that is not an element")
        if tag not in tags:
            _screen_name(tag, encrypted)
            tags.add(tag)
        for name, value in attributes:
            if name.rpartition("}")[2].lower() in _ID_NAMES:
                # Without this: a reference by id finds one element in the verifier, another in the reader.
                if name.startswith("{") or value in ids:
                    raise refuse("a namespaced or repeated id")
                ids.add(value)
        elements.append(element)
        if len(element):
            waiting.extend((child, depth + 1) for child in reversed(element))
    return elements


def _attributes(element: etree._Element) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in element.items()]


def _screen_name(tag: str, encrypted: frozenset[str]) -> None:
    # Plain text, not QName: most of the time that a stranger's document takes is spent here.
    namespace, _, name = tag.rpartition("}")
    home = _HOMES.get(name)
    # Without this: readers that compare local names only take a foreign element for the real one.
    if home is not None and namespace != "{" + home:
        raise refuse(f"{name} in a foreign namespace")
    if name.startswith("Encrypted") and name not in encrypted:
        raise refuse(f"{name}: encrypted content is not accepted")


def refuse(detail: str) -> ConnectorError:
    """Return the one error with which screening refuses; `detail` is for the log."""
    return ConnectorError(
        ConnectorErrorCode.DOCUMENT_REFUSED,
        "The identity provider's answer has a shape that is not accepted.",
        detail=detail,
    )
