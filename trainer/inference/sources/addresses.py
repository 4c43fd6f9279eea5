"""Which addresses anybody may reach: not those of a private network, however they are written."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# By IANA's registries of special-purpose addresses; Python's `is_global` differs between versions.
_PRIVATE_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with the metadata of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation, as 198.51.100 and 203.0.113
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
)
_PUBLIC_6: Final = IPv6Network("2000::/3")
_PRIVATE_6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",  # documentation, as 3fff::/20
        "3fff::/20",
    )
)
_CARRIERS: Final[dict[IPv6Network, Callable[[int], int]]] = {
    IPv6Network("::ffff:0:0/96"): lambda value: value & 0xFFFFFFFF,  # IPv4-mapped
    IPv6Network("64:ff9b::/96"): lambda value: value & 0xFFFFFFFF,  # NAT64
    IPv6Network("2002::/16"): lambda value: value >> 80 & 0xFFFFFFFF,  # 6to4
}
"""Networks of which an address leads to an IPv4 address -> that one."""


def is_public(text: str) -> bool:
    """Whether an IPv4 or IPv6 address is one of the public internet; of one that leads to an IPv4 address,
    whether that is.

    >>> is_public("9.9.9.9"), is_public("::ffff:10.0.0.1"), is_public("64:ff9b::9.9.9.9")
    (True, False, True)
    """
    address = ip_address(text)
    if not isinstance(address, IPv6Address):
        return not any(address in network for network in _PRIVATE_4)
    for network, carried in _CARRIERS.items():
        if address in network:
            return is_public(str(IPv4Address(carried(int(address)))))
    return address in _PUBLIC_6 and not any(address in network for network in _PRIVATE_6)
