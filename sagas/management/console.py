"""The base class of all commands. It prints text for people, one JSON document, and errors as sentences."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import Error as DatabaseError

from sagas.definition.exceptions import InvalidInput, SagaError
from sagas.definition.states import TERMINAL
from sagas.presentation.execution_view import ExecutionView, find_view, load_view
from sagas.storage import database

from .attempt_lines import one_line
from .exit_codes import Exit, exit_of, worst
from .progress import ProgressReporter
from .report import code_of, document, how_to_go_on, report_of, state_label

ASCII = str.maketrans({"✓": "ok", "✗": "x", "↶": "<-", "…": "...", "\N{REPLACEMENT CHARACTER}": "?"})


class Console:
    """The output of a command: text for people, and one JSON document for programs.

    With `as_json`, the document goes to stdout and the text to stderr. Without it, there is no document.
    """

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, as_json: bool = False) -> None:
        self._stdout = stdout
        self._words = stderr if as_json else stdout
        self._as_json, self._documented = as_json, False

    def say(self, text: str) -> None:
        """Print the text and flush it, because a pipe would delay it."""
        # `_write` uses no style, because Django prints everything on stderr in red.
        _write(self._words, text)

    def document(self, content: Mapping[str, Any]) -> None:
        """Print the document if --json was given. Ignore every document after the first."""
        if self._as_json and not self._documented:
            self._documented = True
            _write(self._stdout, json.dumps(content, indent=2, ensure_ascii=True))


class Ended(CommandError):
    """Raised to end a command with an exit code other than 0, after the command has printed everything."""


class SagaCommand(BaseCommand, ABC):
    """The base class of commands. It turns the result or exception of `run` into an exit code.

    Subclasses override `run` and `add_arguments`.

    In a shell, the process exits with that code. Under `call_command`, CommandError has the text and the `returncode`.
    """

    console: Console
    current_saga_id = ""
    # Django sets this attribute, but its type stubs do not declare it.
    _called_from_command_line = False

    @abstractmethod
    def run(self, options: dict[str, Any]) -> int:
        """Do the work and return the exit code."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Add the options that all commands have, and report usage errors as sentences."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument(
            "--json", action="store_true", help="print one JSON document on stdout, and everything else on stderr"
        )
        parser.error = lambda message: self._refuse_usage(parser, message)  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Report every failure as a sentence, a JSON document and an exit code."""
        try:
            return super().execute(*args, **options)
        except KeyboardInterrupt:
            self._fail(Exit.INTERRUPTED, self.interrupted(), as_json=options["json"])
        except (SagaError, DatabaseError) as error:
            if options["traceback"]:
                raise
            errors = error.errors if isinstance(error, InvalidInput) else None
            self._fail(exit_of(error), _sentence_of(error), as_json=options["json"], errors=errors)
        except Ended as ended:
            self._leave(ended)
        except CommandError as error:
            self._fail(error.returncode, str(error), as_json=options["json"])
        except Exception as error:
            self._document_error(Exit.ERROR, f"{type(error).__name__}: {error}", as_json=options["json"])
            raise

    def handle(self, *args: Any, **options: Any) -> None:
        """Call `run` and raise Ended if it returns a code other than 0."""
        self.console = Console(self.stdout, self.stderr, as_json=options["json"])
        code = self.run(options)
        if code:
            raise Ended(self._final_text, returncode=code)

    def follow(self, saga_id: str, work: Callable[[], object]) -> None:
        """Call `work`. Meanwhile, report each attempt of the execution and each worker that claims it."""
        self.current_saga_id = saga_id
        with ProgressReporter(saga_id, self.console.say, waiting=True):
            work()
        self.current_saga_id = ""

    def conclude(self, saga_id: str, *, queued: bool = False) -> Exit:
        """Print the report and the document of the execution, and return its exit code.

        If the command only `queued` the execution, an unfinished execution counts as success.
        """
        view = load_view(saga_id)
        code = self.tell([view], queued=queued)
        self.console.document({**document(view), "exit_code": int(code)})
        return code

    def tell(self, found: list[ExecutionView], *, queued: bool = False) -> Exit:
        """Print the reports of these executions and return the worst exit code. See `conclude` for `queued`."""
        self._final_text = "\n".join(report_of(view) for view in found)
        self.console.say(self._final_text)
        return worst(code for code in map(code_of, found) if not (queued and code is Exit.GOES_ON))

    def interrupted(self) -> str:
        """Return the message for a command that the user interrupted."""
        connection = database.connection()
        if not connection.in_atomic_block:
            connection.close()  # the interrupt may have stopped a query on this connection
        try:
            view = find_view(self.current_saga_id) if self.current_saga_id else None
        except DatabaseError:
            return "Interrupted; the saga goes on."
        if view is None:
            return "Interrupted; nothing was started."
        execution = view.execution
        if execution.state in TERMINAL or execution.held:
            return f"Interrupted.\n{report_of(view)}"
        done = f"{len(execution.steps_completed)} of {len(execution.plan)} steps done"
        progress = f"It is {state_label(execution.state)}, {done}. {how_to_go_on(execution)}"
        return f"Interrupted; the saga goes on. {progress}"

    _final_text = ""

    def _refuse_usage(self, parser: CommandParser, message: str) -> NoReturn:
        if self._called_from_command_line:
            _write(self.stderr, parser.format_usage().rstrip())
        as_json = self._called_from_command_line and "--json" in sys.argv
        self._fail(Exit.REFUSED, f"{message[:1].upper()}{message[1:]}.", as_json=as_json)

    def _fail(self, code: int, sentence: str, *, as_json: bool, errors: Mapping[str, str] | None = None) -> NoReturn:
        self._document_error(code, sentence, as_json=as_json, errors=errors)
        if self._called_from_command_line:
            _write(self.stderr, sentence)
        self._leave(CommandError(sentence, returncode=int(code)))

    def _document_error(
        self, code: int, sentence: str, *, as_json: bool, errors: Mapping[str, str] | None = None
    ) -> None:
        console = getattr(self, "console", None) or Console(self.stdout, self.stderr, as_json=as_json)
        console.document({"error": sentence, **({"errors": errors} if errors else {}), "exit_code": int(code)})

    def _leave(self, error: CommandError) -> NoReturn:
        if self._called_from_command_line:
            sys.exit(error.returncode)
        # Hide the cause, because it may contain values of a row. --traceback shows it.
        raise error from None


def _sentence_of(error: Exception) -> str:
    if isinstance(error, InvalidInput):
        lines = [f"  {key}: {text}" if key else f"  {text}" for key, text in error.errors.items()]
        return "\n".join(["Refused; nothing was started or changed:", *lines])
    if isinstance(error, DatabaseError):
        # Keep only the first line. After it, PostgreSQL prints values of the row, which may be personal.
        return f"The database failed: {one_line(str(error).partition(chr(10))[0])}."
    return str(error)


def _write(stream: OutputWrapper, text: str) -> None:
    """Write the text in the stream's encoding. Ignore the error if the reader has closed the pipe."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        "✓✗↶…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = text.translate(ASCII).encode(encoding, "backslashreplace").decode(encoding)
    try:
        stream.write(text, style_func=str)
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
