"""What people are told when something does not work: one sentence and an exit code, never a traceback.

Each sentence names the option or the file at fault, the true cause, and what to do. ``Raises: UserError`` means this.
"""

import io
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

FAILURE, WRONG_OPTION, NO_READER = 1, 2, 128 + 13  # exit codes; the last as a shell has it for SIGPIPE


class UserError(Exception):
    """Something that the user can mend.

    Attributes:
        option: what is at fault, such as "--train_data_dir" or a file; None where the sentence says it.
        sentence: cause and remedy.
        exit_code: of the program, where it is not the usual one of the work that was being done.
        every_process: print it in each process of a distributed run, not in the first alone.
    """

    def __init__(
        self, option: str | None, sentence: str, exit_code: int | None = None, every_process: bool = False
    ) -> None:
        super().__init__(f"{option}: {sentence}" if option else sentence)
        self.option, self.sentence = option, sentence
        self.exit_code, self.every_process = exit_code, every_process


def printable(name: str) -> str:
    """A file's name as it can be shown and written: what is no character, or moves the cursor, by its code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def run(command: Callable[[], int | None], program: str | ArgumentParser, quiet: bool = False) -> int:
    """Call ``command`` and return its exit code, where None is 0; print its UserError as "program: error" and return 2.

    A parser as ``program`` prints its usage first and exits. ``quiet`` leaves the printing to another process. Where
    nobody reads what is printed any more, as after "| head", that ends the program as it ends others.
    """
    for stream in (sys.stdout, sys.stderr):  # in a terminal of few letters a foreign name is shown by its codes
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # where it is a file at all: what is left must not fail at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except UserError as error:
        if isinstance(program, ArgumentParser):
            program.error(str(error))
        if error.every_process or not quiet:
            print(f"{program}: {error}", file=sys.stderr)
        return WRONG_OPTION if error.exit_code is None else error.exit_code


@contextmanager
def blame(option: str) -> Iterator[None]:
    """Turn a ValueError or a UserError of the block into a UserError that names ``option``."""
    try:
        yield
    except (ValueError, UserError) as error:
        raise UserError(option, str(error)) from error


@contextmanager
def exit_code(code: int) -> Iterator[None]:
    """Let UserErrors of the block that have no exit code of their own end the program with ``code``."""
    try:
        yield
    except UserError as error:
        if error.exit_code is None:
            error.exit_code = code
        raise
