// Sends the provider's answer back without a click, as SAML providers do; the button stays for no-script browsers.
document.querySelector("form[data-submit]").submit();
