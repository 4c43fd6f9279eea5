"""The certificates by which a store's own is checked."""

import ssl

from trainer.errors import ConfigError, one_line

_ANOTHER_HOST = ("ostname mismatch", "address mismatch", "doesn't match", "no appropriate subjectAltName")
"""What OpenSSL and urllib3 report of a certificate for another host."""

_NAME_A_FILE = "a PEM file with the certificate of the authority that signed the store's"


def check_ca_bundle(path: str) -> None:
    """Raises ConfigError for a bundle that cannot be used: botocore would repeat that with every request."""
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ConfigError(
            f"AWS_CA_BUNDLE (or ca_bundle in the AWS configuration): {path} cannot be read as certificates: "
            f"{reason}",
            f"Set it to {_NAME_A_FILE}, or unset it for the public authorities",
        ) from None


def tls_remedy(text: str) -> str:
    """What to do about an error of TLS, by its text; "" where another try may succeed."""
    if "WRONG_VERSION" in text:
        return "If the server speaks plain HTTP, write http:// in AWS_ENDPOINT_URL"
    if any(words in text for words in _ANOTHER_HOST):
        return "Use in AWS_ENDPOINT_URL a name that the store's certificate is for"
    if "VERIFY_FAILED" not in text:
        return ""
    if "expired" in text or "not yet valid" in text:
        return "Renew the store's certificate, or correct the clock of this machine"
    return f"If its authority is a private one, set AWS_CA_BUNDLE to {_NAME_A_FILE}"
