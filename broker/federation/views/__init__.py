"""The pages of signing in and out, and the addresses at which identity providers speak to us."""

from broker.federation.views.back_channel import blueprint as back_channel
from broker.federation.views.signing_in import blueprint
from broker.federation.views.signing_out import blueprint as sign_out

__all__ = ["back_channel", "blueprint", "sign_out"]
