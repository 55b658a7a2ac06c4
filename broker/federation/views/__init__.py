"""The pages of signing in and out, and the addresses at which identity providers speak to us."""

from broker.federation.views.back_channel import blueprint as back_channel
from broker.federation.views.signing_in import blueprint

__all__ = ["back_channel", "blueprint"]
