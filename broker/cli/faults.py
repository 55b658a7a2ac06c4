"""What went wrong, in one line on standard error, and the exit code that says what sort of thing it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.schema import SchemaTooNew

FAILED = 1


class Fault(click.ClickException):
    """Ends a command with one line or several, and exit code 1."""

    exit_code = FAILED

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the lines to standard error."""
        for line in self.lines:
            click.echo(f"error: {line}", file=file, err=file is None)


class NotFound(Fault):
    """What the command names does not exist; exit code 3."""

    exit_code = 3


class Denied(Fault):
    """What the command names exists and may not be used so; exit code 4."""

    exit_code = 4


_KINDS = {ErrorCode.NOT_FOUND: NotFound, ErrorCode.FORBIDDEN: Denied, ErrorCode.ACCESS_DENIED: Denied}


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn the refusals that an operator can cause into a ``Fault``; a fault of ours keeps its trace."""
    try:
        yield
    except Refusal as refusal:
        lines = getattr(refusal, "faults", (refusal.public,))
        raise _KINDS.get(refusal.code, Fault)(*lines) from None
    except ValidationError as fault:
        raise Fault(*_settings_faults(fault)) from None
    except SchemaTooNew as fault:
        raise Fault(f"{fault}; use the broker that made it, or a newer one") from None
    except SQLAlchemyError as fault:
        # The driver's own first line says what is wrong; the rest is the statement and its values.
        said = str(getattr(fault, "orig", None) or type(fault).__name__).strip().splitlines()
        raise Fault(f"the database cannot be used: {said[0] if said else 'no reason given'}") from None
    except PermissionError as fault:
        raise Fault(str(fault)) from None


def _settings_faults(fault: ValidationError) -> list[str]:
    lines = []
    for one in fault.errors(include_url=False, include_input=False):
        name = "_".join(str(step) for step in one["loc"]).upper()
        why = str(one["msg"]).removeprefix("Value error, ")
        lines.append(f"BROKER_{name}: {why}" if name else why)
    return lines
