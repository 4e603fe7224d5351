"""One dialer: its connection, its tracker, and the listener that joins them to the pool."""

from __future__ import annotations

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.ami.listener import Listener
from ami_rotator.ami.tracker import Tracker
from ami_rotator.clock import Clock
from ami_rotator.domain.types import Dialer
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.settings import DialerSettings, Settings


def link_dialer(
    settings: Settings, dialer: DialerSettings, assigner: Assigner, pool: RedisPool, metrics: Metrics, clock: Clock
) -> tuple[DialerSettings, AmiDialer, Listener]:
    """Join one dialer's connection, tracker and listener."""
    # The dialer hands its events to the listener, which writes to the dialer: one of the two has to come first.
    link = AmiDialer(
        dialer,
        ping_interval_s=settings.ami_ping_interval_s,
        timeout_s=settings.ami_timeout_s,
        clock=clock,
        on_event=lambda event: listener.on_event(event),
        on_up=lambda: listener.on_up(),
        on_down=lambda reason: listener.on_down(reason),
    )
    listener = Listener(
        Tracker(Dialer(dialer.name), dialer.dial_prefixes, clock=clock, region=settings.default_region),
        link,
        assigner,
        pool,
        dialer=dialer.name,
        mode=dialer.mode,
        presentation=settings.presentation,
        region=settings.default_region,
        give_up_s=settings.reservation_ttl_seconds,
        metrics=metrics,
        clock=clock,
    )
    return dialer, link, listener
