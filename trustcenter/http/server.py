"""`trustcenter serve`: listen, say so, drain on a signal, close in order."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
import sys
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

import trustcenter
from keys.store import Passphrase
from trustcenter.config import Config, require_safe_address
from trustcenter.errors import ConfigError, TrustCenterError, UnavailableError
from trustcenter.instance.backups import notes
from trustcenter.instance.between import cards
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.tls import load_pair
from trustcenter.registrar.rotating import rewriting

from .app import create_app
from .lane import Lane
from .listener import Listener
from .logs import configure
from .metrics import METRICS

_log = structlog.get_logger()
_NOTES_SECONDS: Final = 20.0
# How long a thread that computes keeps the interpreter while others wait for it. A small request asks for it a dozen
# times, on two threads; with Python's 5 ms it waits for tens of milliseconds beside a verification or a map.
SWITCH_SECONDS: Final = 0.0005


def tls_context(config: Config) -> ssl.SSLContext | None:
    """The server's TLS context; None where the configuration names no certificate.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    require_safe_address(config.server)
    if not (config.server.certificate and config.server.key):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        load_pair(context, config)
    except FileNotFoundError:
        raise ConfigError(
            "the server's certificate or key is not where config.toml says",
            hint="put them there; what `init` made and is lost: trustcenter renew-certificate DIR --new-authority",
            where="server",
        ) from None
    except (OSError, ValueError):
        raise ConfigError(
            "the server's certificate or key cannot be read",
            hint="do they belong together, as PEM, the key without a passphrase?",
            where="server",
        ) from None
    if config.server.client_certificates != "off":
        _require_clients(context, config)
    _know_peer(context, config)
    return context


def renew(context: ssl.SSLContext, config: Config) -> bool:
    """Take the certificate and key that lie in their files now, for connections from now on; others go on as they are.

    Returns:
        False, with everything as it was, if they cannot be used: one of the two was not replaced yet, or is damaged.
    """
    try:
        tls_context(config)  # on a context of its own first: a failure must leave the running one alone
        load_pair(context, config)
        if config.server.client_certificates != "off":
            _require_clients(context, config)  # adds authorities; one that is to be dropped needs a restart
    except (ConfigError, OSError, ValueError) as error:
        _log.error("certificate not renewed: the old one stays", error_type=type(error).__name__)
        return False
    _log.info("certificate renewed")
    return True


def _know_peer(context: ssl.SSLContext, config: Config) -> None:
    """At a comparator of its own: ask for a certificate, and accept the registrar's pinned one; others need none."""
    card = cards.peer(config)
    if config.room != "comparator" or card is None:
        return
    context.load_verify_locations(cadata=card.certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # this very certificate, whoever signed it
    if context.verify_mode == ssl.CERT_NONE:
        context.verify_mode = ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _require_clients(context: ssl.SSLContext, config: Config) -> None:
    assert config.server.client_ca is not None
    try:
        context.load_verify_locations(cafile=config.path(config.server.client_ca))
    except (OSError, ssl.SSLError):
        raise ConfigError(
            "the authority of clients' certificates cannot be read",
            hint="check server.client_ca in config.toml: PEM, without keys",
            where="server.client_ca",
        ) from None
    required = config.server.client_certificates == "required"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # No resumption: every connection proves its certificate anew.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the service: uvloop, which does TLS and sockets for less, where it can be had."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def serve(config: Config, passphrase: Passphrase, *, ready: Callable[[str], None]) -> None:
    """Run the service until SIGTERM or SIGINT, then let running requests finish.

    Args:
        config: of the instance.
        passphrase: of its key stores, or what reads it.
        ready: called with the service's address once it listens.

    Raises:
        ConfigError: an unsafe address, or an unusable certificate.
        UnavailableError: the port is taken.
    """
    context = tls_context(config)
    configure()
    sys.setswitchinterval(SWITCH_SECONDS)
    async with open_instance(config, passphrase, exclusive=False) as instance:
        limits = config.limits
        app = create_app(instance)
        if context is not None:
            app[METRICS].handshakes.watch(context)
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=limits.drain_timeout,
            keepalive_timeout=limits.idle_timeout,
        )
        await runner.setup()
        try:
            lane = Lane(app) if instance.registrar_room is not None else None
            site = Listener(
                runner, config.server.host, config.server.port, limits=limits, ssl_context=context, lane=lane
            )
            try:
                await site.start()
            except OSError:
                raise UnavailableError(
                    "cannot listen on the configured address and port",
                    code="port_taken",
                    hint="is another instance running? change server.port in config.toml",
                ) from None
            # What is loaded now stays; without this the collector walks through all of it again and again, and
            # everybody waits for tens of milliseconds.
            gc.collect()
            gc.freeze()
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stopping.set)
            # Without TLS a hangup is ignored rather than fatal, as the unit file's ExecReload sends it.
            loop.add_signal_handler(signal.SIGHUP, lambda: context is not None and renew(context, config))
            port = runner.addresses[0][1]
            _log.info(
                "serving",
                host=config.server.host,
                port=port,
                version=trustcenter.__version__,
                separation=config.separation,
            )
            ready(config.server.url(port=port))
            if instance.registrar_room is None:
                await stopping.wait()
            else:
                await rewriting.take_up(instance.registrar)
                noting = loop.create_task(_take_notes(instance))
                await stopping.wait()
                noting.cancel()
            _log.info("draining")
        finally:
            await runner.cleanup()
    _log.info("stopped")


async def _take_notes(instance: Instance) -> None:
    """Backups that were made meanwhile, into the log."""
    while True:
        await asyncio.sleep(_NOTES_SECONDS)
        try:
            await notes.take_in(instance.config, instance.registrar)
        except (OSError, TrustCenterError) as error:
            _log.error("backups not logged", error_type=type(error).__name__)
