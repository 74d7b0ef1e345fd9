"""Where everything for people is printed: names are text, whatever is in them."""

from typing import Any

from rich.console import Console
from rich.text import Text

from clbench.schema.text import visible


class PlainConsole(Console):
    """Prints text as it is: no markup, no pictures for words between colons, no hidden characters.

    A name with ``[/x]`` in it would otherwise end a finished run in an error, and one with an
    escape sequence would rename the window.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - as in rich
        """Return a text for rich, line by line visible."""
        return super().render_str("\n".join(map(visible, text.split("\n"))), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which knows the status for it."""
        raise BrokenPipeError

    def bar(self, share: float, width: int) -> str:
        """Return a bar for a share in [0, 1], of what the terminal can draw."""
        full = "━" if self.encoding.lower().startswith("utf") else "-"
        return full * round(min(max(share, 0.0), 1.0) * width)
