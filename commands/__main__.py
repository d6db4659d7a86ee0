"""`inhabit COMMAND ...`: find the command's module, read its arguments, run it; a user's mistake becomes one line."""

from __future__ import annotations

import importlib
import keyword
import os
import sys

from inhabit.bridge.errors import InhabitError

COMMANDS = {
    "play": "inhabit a world in a window",
    "serve": "run a world as a sidecar that others connect to",
    "envs": "serve a pack to vector environments that run elsewhere",
    "replay": "play a trace back and compare every frame",
    "top": "watch a sidecar: latencies, frames, sessions",
    "keys": "make and list the keys for people on other machines",
    "record": "make a recording of a game to learn from",
    "import": "make a recording of a Minari data set",
    "train": "learn a world from a recording",
    "eval": "measure how true a pack is to what it learnt from",
    "bench": "measure how fast a pack runs here",
    "experiment": "train agents in a dream and test them in the real game",
    "worlds": "list the packs and games that can be opened",
    "doctor": "say what will run here, how fast, and what is missing",
}
USAGE_EXIT = 2


def main(argv: list[str] | None = None) -> None:
    """Run one command. Exit code 2 and one line for anything the user can mend."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        sys.exit(0 if arguments else USAGE_EXIT)
    command, *rest = arguments
    if command == "--version":
        from importlib.metadata import version

        print(f"inhabit {version('inhabit')}")
        return
    if command not in COMMANDS:
        _fail(f"Expected a command ({', '.join(COMMANDS)}), got {command!r} - see inhabit --help")
    try:
        _run(command, rest)
    except InhabitError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _run(command: str, arguments: list[str]) -> None:
    import tyro

    # Set before torch starts its threads: where others compute too, a thread that waits must not spin. On two busy
    # cores a frame took up to 2 s with the default, and 31 ms like this.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    name = f"{command}_" if keyword.iskeyword(command) else command
    module = importlib.import_module(f"inhabit.commands.{name}")
    options = tyro.cli(module.Options, prog=f"inhabit {command}", description=module.__doc__, args=arguments)
    module.run(options)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(["inhabit COMMAND ...", "", *lines, "", "inhabit COMMAND --help tells a command's options."])


def _fail(message: str) -> None:
    print(f"inhabit: {message}", file=sys.stderr)
    sys.exit(USAGE_EXIT)


if __name__ == "__main__":
    main()
