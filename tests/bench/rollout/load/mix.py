"""How a total rate is shared among the kinds."""

from __future__ import annotations

#: requests per second of the kinds whose number does not grow with the total rate
FIXED = {"slow": 1.5, "sse": 1.5, "upload": 1.0, "call": 18.0}
#: WebSocket sessions begun per second, messages in each, seconds between messages; and connections that stay for ever
SESSIONS_PER_S, MESSAGES, MESSAGE_EVERY_S = 1.0, 8, 0.5
LONG_LIVED, LONG_EVERY_S = 4, 1.0
#: shares of what remains
SHARES = {"get_new": 0.30, "get_keep": 0.30, "get_api": 0.10, "post_keep": 0.30}


def rates(total: float) -> dict[str, float]:
    """Requests per second by kind; WebSocket messages and handshakes count as requests.

    :param total: requests per second, at least 50.
    :raises ValueError: `total` leaves nothing for the kinds that share it.
    """
    websocket = SESSIONS_PER_S * (MESSAGES + 1) + LONG_LIVED / LONG_EVERY_S
    rest = total - sum(FIXED.values()) - websocket
    if rest < 10:
        raise ValueError(f"{total:g} requests/s are too few: {total - rest:.0f} go to the kinds with a fixed rate")
    return {**FIXED, **{kind: rest * share for kind, share in SHARES.items()}}
