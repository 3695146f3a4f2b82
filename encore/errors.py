"""Errors that are the user's to mend: told in a sentence, without a stack trace."""


class EncoreError(Exception):
    """Say what happened, which value, and what to do.

    The command line prints the message alone and exits with ``exit_code``.
    """

    exit_code = 1


class SettingsError(EncoreError):
    """A setting has a value that is not allowed."""

    exit_code = 2


class UsageError(EncoreError):
    """A command was given something that it does not know."""

    exit_code = 2


class ServiceUnavailableError(EncoreError):
    """A service that the command needs does not answer."""

    exit_code = 3


class DeliveryError(EncoreError):
    """Records could not be delivered to Kafka."""

    exit_code = 4
