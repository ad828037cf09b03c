"""The one error a user is meant to read."""

import errno


class PandacatError(Exception):
    """Something the user can act on: its text names the cause and the next step, in a sentence."""


_ROOM = "Make room on the disk and run it again; nothing half-written was left."
_RIGHTS = "Give yourself the right to write there, or work in another folder."
_NEXT_STEPS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
}


def sentence_of(error: OSError) -> str | None:
    """Return what the operating system refuses and what to do; `None` where it is not the cause."""
    if error.strerror is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    step = _NEXT_STEPS.get(error.errno or 0, "")
    return f"{where}{error.strerror}. {step}".strip()
