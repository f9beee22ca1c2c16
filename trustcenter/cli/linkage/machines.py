"""Options that say where a comparison runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH

F = TypeVar("F", bound=Callable[..., Any])


def machine_options(command: F) -> F:
    """`--workers`, `--dask` and `--work`, handed to the command as `machines`."""

    @click.option(
        "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes of the comparison."
    )
    @click.option(
        "--dask",
        metavar="ADDRESS",
        help="Compare on the Dask cluster of this scheduler; its workers must see the same files.",
    )
    @click.option(
        "--work",
        type=PATH,
        metavar="DIR",
        help="Keep the comparison's files here, and go on with what is there. They need the care of the rows files.",
    )
    @wraps(command)
    def wrapped(*args: Any, workers: int, dask: str | None, work: Path | None, **kwargs: Any) -> Any:
        from trustcenter.client.linking.comparing import Machines

        return command(*args, machines=Machines(workers, dask, work), **kwargs)

    return wrapped  # type: ignore[return-value]


@contextmanager
def resumable(work: Path | None, done: str) -> Iterator[None]:
    """Tell whoever interrupts a job that keeps what is `done` ("compared") in --work how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if work is not None:
            output.note(f"what was {done} is kept (--work): the same command goes on from there")
        raise
