"""Puts a decrypted assertion in the place of the encrypted one, as if it had come in the clear."""

from lxml import etree

from idp_connectors.saml.names import assertion
from idp_connectors.saml.prescreen import ScreenedResponse, parse_strictly, refuse, screen_bytes


def put_in_clear(received: ScreenedResponse, plain: bytes) -> bytes:
    """Return the response with `plain` where its EncryptedAssertion is; the whole is to be screened again.

    Raises ConnectorError unless `plain` is exactly one element. It is parsed among the namespaces that are
    declared around it (XML Encryption 4.5.2): not every provider repeats them inside.
    """
    screen_bytes(plain)
    root = parse_strictly(received.document)
    sealed = root.find(assertion("EncryptedAssertion"))
    if sealed is None:
        raise refuse("no EncryptedAssertion to replace")
    frame = etree.tostring(etree.Element("opened", nsmap=sealed.nsmap))  # type: ignore[arg-type]
    opened = parse_strictly(frame.removesuffix(b"/>") + b">" + plain + b"</opened>")
    texts = ((opened.text or "") + "".join(child.tail or "" for child in opened)).strip()
    if len(opened) != 1 or texts:
        raise refuse("the encrypted content is not one element")
    root.replace(sealed, opened[0])
    return etree.tostring(root, encoding="utf-8")
