"""The proxy that requests go through, resolved once, when a client is made."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from ..errors import ConfigurationError
from .access import LOOPBACK

_SCHEMES = {"http", "https"}


def proxy_for(
    url: str, given: str | None, of_variable: str | None, *, trust_env: bool, allow_http: bool
) -> str | None:
    """Return the URL of the proxy for requests to *url*; None if they go straight to it.

    That is the one *given*, else `SEGMIND_PROXY`, else with *trust_env* that of the environment: of
    `HTTPS_PROXY` or `HTTP_PROXY` by the scheme of *url*, else of `ALL_PROXY`, also in lower case, which wins.
    `NO_PROXY` names hosts and domains to which they do not apply. No variable applies to a service on this
    machine.

    Raises ConfigurationError, which quotes no password, for one that cannot be used, or that would see the
    API key.
    """
    name, proxy = "proxy", given
    if proxy is None and urlsplit(url).hostname not in LOOPBACK:
        name, proxy = "SEGMIND_PROXY", of_variable
        if proxy is None and trust_env:
            name, proxy = _of_environment(url)
    if proxy is None:
        return None
    host = _checked_host(proxy, name)
    if urlsplit(url).scheme == "http" and host not in LOOPBACK and not allow_http:
        raise ConfigurationError(
            f"{name} is on another machine, and base_url={url!r} would send it the key in plain text; use "
            "https, or pass allow_http=True"
        )
    return proxy


def _of_environment(url: str) -> tuple[str, str | None]:
    """Return the name of a variable, and the proxy that it names for *url*."""
    parts, found = urlsplit(url), getproxies_environment()
    scheme = parts.scheme if parts.scheme in found else "all"
    name, proxy = f"{scheme.upper()}_PROXY", found.get(scheme)
    if proxy is None or _is_excepted(parts.hostname or "", parts.port, found.get("no", "")):
        return name, None
    return name, proxy if "://" in proxy else f"http://{proxy}"


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Return whether a list such as `*`, `example.com, .corp, host:8080` names a host, or a domain of it."""
    for entry in exceptions.lower().split(","):
        name, _, number = entry.strip().partition(":")
        domain = name.removeprefix("*").lstrip(".")
        if number and number != str(port):
            continue
        if name == "*" or (domain and f".{host}".endswith(f".{domain}")):
            return True
    return False


def _checked_host(proxy: str, name: str) -> str:
    """Return the host of a proxy's URL."""
    shown = "…"
    try:
        parts = urlsplit(proxy)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme in _SCHEMES and parts.hostname and parts.port != 0 and not rest:
            return parts.hostname
    except ValueError:  # a port that is none
        pass
    raise ConfigurationError(
        f"{name}={shown!r} cannot be used; give one such as http://host:3128 or https://user:password@host"
    )
