"""Options and the bridge that commands share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustcenter.errors import PolicyError, UsageError

from . import output

if TYPE_CHECKING:
    from trustcenter.client import Connection, TrustCenter

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
# Those of messages.api.Operation, which --help does without.
OPERATIONS = ("issue", "get", "translate", "validate", "remove", "reidentify", "consent", "study")


def connect_option(command: F) -> F:
    """`--connect FILE` or TRUSTCENTER_CONNECT."""
    return click.option(
        "--connect",
        type=PATH,
        envvar="TRUSTCENTER_CONNECT",
        metavar="FILE",
        show_envvar=True,
        help="Connection file: where the service is and who is asking.",
    )(command)


def json_option(command: F) -> F:
    """`--json` for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def output_option(what: str = "Output file.", *, required: bool = True) -> Callable[[F], F]:
    """`-o FILE`."""
    return click.option("-o", "--output", "target", type=PATH, metavar="FILE", required=required, help=what)


def force_option(command: F) -> F:
    """`--force`."""
    return click.option("--force", is_flag=True, help="Overwrite the output if it exists.")(command)


def passphrase_option(command: F) -> F:
    """`--passphrase-file FILE`."""
    return click.option(
        "--passphrase-file",
        type=PATH,
        metavar="FILE",
        help="File with the passphrase of the key; without it the terminal is asked.",
    )(command)


def key_options(command: F) -> F:
    """`--key FILE` and its passphrase: the key of a site, to which others seal and with which it signs."""
    option = click.option("--key", "key_file", type=PATH, required=True, metavar="FILE", help="The site's own key.")
    return option(passphrase_option(command))


def bare_option(command: F) -> F:
    """`--no-passphrase`."""
    return click.option(
        "--no-passphrase", "bare", is_flag=True, help="Do not protect the key; its file permissions are all there is."
    )(command)


def separation_option(command: F) -> F:
    """`--require-separation`: what a site demands of the service before it sends rows."""
    return click.option(
        "--require-separation",
        type=click.Choice(["none", "process", "operator"]),
        default="none",
        show_default=True,
        help="Refuse a service whose rooms are less separated.",
    )(command)


def mapping_option(command: F) -> F:
    """`--map FIELD=COLUMN`."""
    return click.option(
        "--map",
        "mapping",
        multiple=True,
        metavar="FIELD=COLUMN",
        help="Column of a field; repeat. Without any, the usual names are recognised.",
    )(command)


def connection(path: Path | None) -> Connection:
    """Read the connection file.

    Raises:
        UsageError: none was named. ConnectionFileError: it is not usable.
    """
    if path is None:
        raise UsageError(
            "no connection file",
            code="no_connection",
            hint="give --connect FILE or set TRUSTCENTER_CONNECT; `trustcenter init` writes the operator's",
        )
    from trustcenter.client import Connection

    return Connection.load(path)


def call(path: Path | None, job: Callable[[TrustCenter], Coroutine[Any, Any, T]]) -> T:
    """Run a job with a client and wait for its result."""
    found = connection(path)
    from trustcenter.client import TrustCenter
    from trustcenter.client.logs.audit_heads import beside

    async def run() -> T:
        heads = beside(path) if path is not None and found.site is not None else None
        async with TrustCenter(found, heads=heads, waiting=output.waiting) as center:
            return await job(center)

    return asyncio.run(run())


def key_passphrase_option(command: F) -> F:
    """`--key-passphrase-file FILE`, also under the name that it has where no other passphrase is asked for."""
    return click.option(
        "--key-passphrase-file", "--passphrase-file", "key_passphrase_file", type=PATH, metavar="FILE",
        help="File with the passphrase of that key; without it the terminal is asked.",
    )(command)  # fmt: skip


def approval_options(command: F) -> F:
    """Who signs, and whether the statement is only shown."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask after showing the statement."),
        key_passphrase_option,
        click.option(
            "--personal-key",
            "--key",
            "key",
            type=PATH,
            required=True,
            metavar="FILE",
            help="Your personal key.",
        ),
    ):
        command = option(command)
    return command


def confirm(question: str, word: str, *, yes: bool) -> None:
    """Let a person type a word before something that cannot be taken back.

    Raises:
        UsageError: nobody can be asked. PolicyError: another word was typed.
    """
    if yes:
        return
    if not output.interactive():
        raise UsageError("this needs a confirmation", code="not_confirmed", hint="repeat with --yes")
    if click.prompt(f"{question} Type {word} to go on", default="", show_default=False, err=True) != word:
        raise PolicyError("not confirmed; nothing was changed", code="not_confirmed")


def text_or_file(value: str, prefix: str) -> str:
    """A public key given as text or as the path of a file that holds it.

    Raises:
        UsageError: neither.
    """
    text = value.strip()
    if not text.startswith(prefix):
        try:
            text = Path(value).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            text = ""
    if not text.startswith(prefix):
        raise UsageError(
            "this is not a public key and not a file with one", code="bad_public_key", hint=f"it starts with {prefix}"
        )
    return text


def separator(text: str | None) -> str | None:
    """A tab can be written as a word."""
    return "\t" if text in ("\\t", "tab") else text
