"""A real S3 server behind TLS, with a certificate of its own, that may refuse trailing checksums."""

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.storage import faulty

DAY = datetime.timedelta(days=1)


def certificate(folder: Path, host: str = "localhost", begins: datetime.timedelta = -DAY) -> Path:
    """A PEM file with the certificate of a server, which is its own authority; `key.pem` lies beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + begins + 2 * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def tls_proxy(upstream: str, certificate: Path) -> Iterator[faulty.FaultyProxy]:
    """Its `outage` is what every request meets."""
    proxy = faulty.FaultyProxy(upstream)
    proxy.url = f"https://localhost:{proxy.server_port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    # The handshake is made by the thread of a connection: a client that refuses it holds up nobody.
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True, do_handshake_on_connect=False)
    thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def has_trailer(headers: dict[str, str]) -> bool:
    """Whether an upload's checksum comes after its body."""
    found = {name.lower(): value for name, value in headers.items()}
    return "x-amz-trailer" in found or found.get("x-amz-content-sha256", "").startswith("STREAMING")


def refuse_trailers(status: int, code: str, message: str) -> faulty.Fault:
    """As stores do that do not know uploads with a trailing checksum; all else is forwarded."""
    refuse = faulty.says(status, code, message)

    def fault(request: faulty.Handler) -> None:
        if has_trailer(dict(request.headers)):
            refuse(request)
        else:
            request.send(*request.forward())

    return fault
