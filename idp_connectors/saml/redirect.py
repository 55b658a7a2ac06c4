"""Puts a message of ours into an address (HTTP-Redirect binding), signed if there is a key to sign with."""

import base64
import zlib
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from idp_connectors.base import ServiceKey
from idp_connectors.saml.names import RSA_SHA256


def build_redirect_url(
    address: str,
    message: bytes,
    *,
    parameter: str = "SAMLRequest",
    relay_state: str = "",
    key: ServiceKey | None = None,
) -> str:
    """Return the address that carries `message` (Bindings 3.4.4.1) as `parameter`.

    With `key` the query is signed: over the very octets that are sent, in the binding's own order.
    `parameter` is "SAMLRequest" or "SAMLResponse".
    """
    squeezed = zlib.compress(message, wbits=-15)
    values = {parameter: base64.b64encode(squeezed).decode()}
    if relay_state:
        values["RelayState"] = relay_state
    if key is not None:
        values["SigAlg"] = RSA_SHA256
    query = urlencode(values)
    if key is not None:
        signature = key.private.sign(query.encode(), PKCS1v15(), SHA256())
        query += "&" + urlencode({"Signature": base64.b64encode(signature).decode()})
    return f"{address}{'&' if '?' in address else '?'}{query}"
