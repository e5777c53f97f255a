# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of what surrounds the host: names, ports, package sources, registries. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from .facts import Facts, Image, Listener, Mirror, Name, Policy
from .findings import ERROR, OK, WARNING, Finding


def check_dns(facts: Facts, policy: Policy) -> list[Finding]:
    """Each routed name against the host's own addresses and the public ones the inventory lists."""
    if policy.dns == "skip":
        return []
    level = ERROR if policy.dns == "fail" else WARNING
    own = _addresses(facts.addresses + policy.public_addresses)
    found = []
    for name in facts.names:
        found += _check_name(name, own, level)
    if not found and facts.names:
        found.append(Finding("dns", OK, "names point here: " + ", ".join(name.name for name in facts.names)))
    return found


def _addresses(texts: Iterable[str]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses among texts, in order, each once; what is no address is left out."""
    found: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, None] = {}
    for text in texts:
        try:
            found[ipaddress.ip_address(text.split("%", 1)[0])] = None
        except ValueError:
            continue
    return list(found)


def _check_name(name: Name, own: list[ipaddress.IPv4Address | ipaddress.IPv6Address], level: str) -> list[Finding]:
    local = name.name == "localhost" or name.name.endswith(".localhost")
    there = _addresses(name.addresses)
    useful = [address for address in own if not address.is_loopback and not address.is_link_local]
    public = [address for address in useful if address.is_global]
    target = ", ".join(str(address) for address in public or useful) or "this host's public address"
    kinds = "/".join(dict.fromkeys("A" if a.version == 4 else "AAAA" for a in public or useful)) or "A"
    record = f"Set the {kinds} record of {name.name} to {target}"
    exits = "preflight_dns: warn or skip leaves it to you."
    if not there:
        # RFC 6761: names under .localhost are the machine's own and need no record.
        if local:
            return []
        why = f" ({name.error})" if name.error else ""
        return [Finding("dns", level, f"{name.name} has no address{why}.", f"{record}; {exits}")]
    strangers = [a for a in there if a not in own and not a.is_loopback]
    if not strangers:
        if all(address.is_loopback for address in there) and not local:
            return [
                Finding(
                    "dns",
                    WARNING,
                    f"{name.name} is {there[0]} by the host's own /etc/hosts; what the world sees was not checked.",
                    f"Make sure that the {kinds} record of {name.name} is {target}.",
                )
            ]
        return []
    elsewhere = ", ".join(str(address) for address in strangers)
    if not public and all(address.is_global for address in strangers):
        return [
            Finding(
                "dns",
                WARNING,
                f"{name.name} points to {elsewhere}, and the host only knows private addresses of its own "
                f"({target}): whether that is this host can't be told.",
                "List the host's public addresses in preflight_public_addresses.",
            )
        ]
    return [
        Finding(
            "dns",
            level,
            f"{name.name} points to {elsewhere}, which is not this host ({target}).",
            f"{record}, or list {elsewhere} in preflight_public_addresses if it leads here "
            f"(NAT, load balancer); {exits}",
        )
    ]


# Programs whose unit is named like the program: a sure remedy can be given.
_SERVERS = ("apache2", "nginx", "caddy", "lighttpd", "haproxy", "traefik")


def check_ports(facts: Facts, policy: Policy) -> list[Finding]:
    """The edge's ports: free, or held by our own edge container."""
    found = []
    for listener in facts.listeners:
        if listener.port in policy.ports and not _ours(listener, policy.edge_container):
            found.append(_taken(listener))
    if not found:
        ports = " and ".join(str(port) for port in policy.ports)
        ours = [listener for listener in facts.listeners if listener.port in policy.ports]
        found.append(Finding("ports", OK, f"{ports} {'held by our edge' if ours else 'free'}"))
    return found


def _ours(listener: Listener, edge: str) -> bool:
    return any(name == edge or name.startswith(edge + "-") for name in listener.containers)


def _taken(listener: Listener) -> Finding:
    port = listener.port
    move = f"or let it listen elsewhere: the edge needs port {port}."
    if listener.containers:
        name = listener.containers[0]
        return Finding(
            "ports",
            ERROR,
            f"Port {port} is taken by the container {name}.",
            f"Stop it (docker stop {name}), {move}",
        )
    if listener.pid is None:
        return Finding(
            "ports",
            ERROR,
            f"Port {port} is taken by another program.",
            f"Find it with: sudo ss -ltnp 'sport = :{port}'; stop it, {move}",
        )
    unit = listener.unit or (f"{listener.program}.service" if listener.program in _SERVERS else "")
    stop = f"systemctl disable --now {unit}" if unit else f"kill {listener.pid}"
    return Finding(
        "ports",
        ERROR,
        f"Port {port} is taken by {listener.program or 'a program'} (pid {listener.pid}).",
        f"Stop it ({stop}), {move}",
    )


def check_mirrors(facts: Facts, policy: Policy) -> list[Finding]:
    """Package sources of apt (and Docker's repository): do they answer."""
    found = [_mirror(mirror) for mirror in facts.mirrors if mirror.reason]
    if found:
        return found
    if not facts.mirrors:
        if not facts.apt.present:
            return []
        return [
            Finding(
                "mirrors",
                WARNING,
                "apt has no package sources that can be checked.",
                "Put the distribution's mirror into /etc/apt/sources.list.d/ on the host.",
            )
        ]
    return [Finding("mirrors", OK, f"{len(facts.mirrors)} package sources answer")]


def _mirror(mirror: Mirror) -> Finding:
    detail = f" ({mirror.detail})" if mirror.detail else ""
    if mirror.reason == "missing":
        return Finding(
            "mirrors",
            ERROR,
            f"The package source {mirror.url} does not exist{detail}.",
            "Correct or remove it in /etc/apt/sources.list or /etc/apt/sources.list.d/ on the host.",
        )
    if mirror.reason == "tls":
        return Finding(
            "mirrors",
            ERROR,
            f"The certificate of the package source {mirror.url} is not trusted{detail}.",
            "Update ca-certificates on the host, add your own CA to /usr/local/share/ca-certificates "
            "(then update-ca-certificates), and check the clock.",
        )
    if mirror.reason == "refused":
        return Finding(
            "mirrors",
            WARNING,
            f"The package source {mirror.url} refuses to answer{detail}.",
            "Check the proxy (Acquire::http::Proxy in /etc/apt/apt.conf.d/) and /etc/apt/auth.conf on the host.",
        )
    other = " (or docker_source: distribution)" if "docker" in mirror.url else ""
    return Finding(
        "mirrors",
        ERROR,
        f"The package source {mirror.url} can't be reached{detail}.",
        "Check the host's DNS, route and firewall towards it, or set a proxy (Acquire::http::Proxy in "
        f"/etc/apt/apt.conf.d/) or another mirror{other}.",
    )


def check_registry(facts: Facts, policy: Policy) -> list[Finding]:
    """Images: does each name resolve in its registry."""
    found = []
    silent: dict[tuple[str, str], list[Image]] = {}
    for image in facts.images:
        if image.reason in ("unreachable", "tls", "limited"):
            silent.setdefault((image.registry, image.reason), []).append(image)
        elif image.reason:
            found.append(_image(image))
    for (registry, reason), images in silent.items():
        found.append(_silent(registry, reason, images))
    if not found and facts.images:
        found.append(Finding("registry", OK, f"{len(facts.images)} images resolve"))
    return found


def _image(image: Image) -> Finding:
    where = f"image {image.image} of service {image.service} in stack {image.stack}"
    detail = f" ({image.detail})" if image.detail else ""
    if image.reason == "invalid":
        return Finding(
            "registry",
            ERROR,
            f"The {where} is not a valid image name{detail}.",
            f"Correct image: of service {image.service}; often a variable in it is empty.",
        )
    if image.on_host:
        return Finding(
            "registry",
            WARNING,
            f"The {where} is on the host, but its registry does not give it{detail}.",
            "Push it again, or it can't be pulled on a new host.",
        )
    if image.reason == "unauthorized":
        return Finding(
            "registry",
            ERROR,
            f"The {where} is refused by {image.registry}: it does not exist there, or is private{detail}.",
            f"Check the name; for a private image give preflight_registries an entry for {image.registry}, "
            f"or log in on the host: docker login {image.registry}",
        )
    return Finding(
        "registry",
        ERROR,
        f"The {where} does not exist in {image.registry}{detail}.",
        "Correct the name or the tag, or push the image first.",
    )


def _silent(registry: str, reason: str, images: list[Image]) -> Finding:
    names = ", ".join(dict.fromkeys(image.image for image in images))
    detail = f" ({images[0].detail})" if images[0].detail else ""
    level = WARNING if all(image.on_host for image in images) else ERROR
    if reason == "limited":
        return Finding(
            "registry",
            WARNING,
            f"The registry {registry} limits this host's requests now{detail}: {names} could not be checked.",
            "Wait, log in (docker login), or set docker_registry_mirrors.",
        )
    if reason == "tls":
        return Finding(
            "registry",
            level,
            f"The registry {registry} can't be spoken to over TLS{detail}: needed for {names}.",
            f"Put its CA into /etc/docker/certs.d/{registry}/ca.crt, or list it in docker_insecure_registries "
            "if it speaks plain HTTP.",
        )
    return Finding(
        "registry",
        level,
        f"The registry {registry} can't be reached{detail}: needed for {names}.",
        "Check the host's DNS, route and firewall towards it, or set docker_registry_mirrors.",
    )
