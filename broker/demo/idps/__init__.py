"""Identity providers of the demo: they behave like Okta, Entra and Google on the wire and really sign.

Owns their protocol behaviour and login pages, not the broker's side of it.
The demo world and the tests may call it.
"""
