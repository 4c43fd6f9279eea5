"""The API server's certificate: what kubectl accepts is accepted, on every Python, and no other is."""

import base64
import datetime
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from trainer.cluster.api import Cluster
from trainer.errors import TransientError

Key = ec.EllipticCurvePrivateKey


def certificate(name: str, key: Key, issuer: str, issuer_key: Key) -> x509.Certificate:
    """With no more than a self-signed CA needs: neither key usage nor key identifiers, like those of EKS."""
    born = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
        key.public_key(),
        x509.random_serial_number(),
        born,
        born + datetime.timedelta(days=1),
    ).add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
    if name != issuer:
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = builder.add_extension(here, critical=False)
    return builder.sign(issuer_key, SHA256())


@pytest.fixture
def authority() -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    return certificate("kubernetes", key, "kubernetes", key), key


@pytest.fixture
def server(authority: tuple[x509.Certificate, Key], tmp_path: Path) -> Iterator[str]:
    """An API server with a certificate of `authority`; it has no Jobs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"items": []}')

        def log_message(self, format: str, *args: object) -> None: ...

    key = ec.generate_private_key(ec.SECP256R1())
    mine = certificate("api", key, "kubernetes", authority[1])
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + mine.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def cluster(
    server: str, trusted: x509.Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cluster:
    data = base64.b64encode(trusted.public_bytes(Encoding.PEM)).decode()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [
                    {"name": "c", "cluster": {"server": server, "certificate-authority-data": data}}
                ],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "tests", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "tests",
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return Cluster()


def test_a_ca_without_optional_extensions_is_accepted(
    server: str, authority: tuple[x509.Certificate, Key], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert cluster(server, authority[0], tmp_path, monkeypatch).jobs() == []


def test_another_ca_is_not(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = ec.generate_private_key(ec.SECP256R1())
    other = certificate("kubernetes", key, "kubernetes", key)
    with pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED"):
        cluster(server, other, tmp_path, monkeypatch).jobs()
