"""What can go wrong, as data: every message names the value, the place and the way out."""


class InhabitError(Exception):
    """A mistake that the user can mend: the command line prints it as one line and exits with 2."""


class LocalProtocolError(InhabitError):
    """Our own caller did something that the protocol does not allow here."""


class RemoteProtocolError(InhabitError):
    """The peer sent something that the protocol does not allow here."""


class WorldError(InhabitError):
    """A world was used out of order or could not go on."""


class MissingExtraError(InhabitError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str):
        super().__init__(f'{package} is not installed, run `pip install "inhabit[{extra}]"`')
