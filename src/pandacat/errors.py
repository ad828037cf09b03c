"""The one error a user is meant to read."""


class PandacatError(Exception):
    """Something the user can act on: its text names the cause and the next step, in a sentence."""
