"""What PHub raises: Error, with a subclass for each code of <phub/status.h>."""
from __future__ import annotations

import re
from typing import Optional

from phub import _core

# The first rank that a sentence blames: what comes before names the caller's own connection.
_OWN = re.compile(r'^connect to hub .*?: job ".*?" rank \d+: ')
_RANK = re.compile(r"\branks? (\d+)")
_TENSOR = re.compile(r'\btensor \d+ "((?:[^"])*)"')


class Error(Exception):
    """A call of PHub failed. str(error) is a sentence: what failed, which thing, why, what to do.

    code     the name of the code, such as "timed_out"
    message  the sentence
    rank     the (first) rank that it blames; None where it blames none
    tensor   the name of the tensor that it is about; None where it is about none
    """

    code = "internal"

    def __init__(self, message: str, code: Optional[str] = None):
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message

    def __reduce__(self):
        return type(self), (self.message, self.code)

    @property
    def rank(self) -> Optional[int]:
        found = _RANK.search(_OWN.sub("", self.message))
        return int(found.group(1)) if found else None

    @property
    def tensor(self) -> Optional[str]:
        found = _TENSOR.search(self.message)
        return found.group(1) if found else None


class InvalidArgument(Error, ValueError):
    """The call can never work as given: correct it."""
    code = "invalid_argument"


class NotFound(Error):
    """The job, tensor, device or file is not there."""
    code = "not_found"


class AlreadyExists(Error):
    """The name, rank or epoch is taken."""
    code = "already_exists"


class PermissionDenied(Error):
    """Wrong secret, or not allowed."""
    code = "permission_denied"


class FailedPrecondition(Error):
    """Not now: the object is in another state."""
    code = "failed_precondition"


class ResourceExhausted(Error):
    """Memory, jobs, ranks or slots are used up."""
    code = "resource_exhausted"


class Unavailable(Error, ConnectionError):
    """The hub cannot be reached or is gone: connect again later."""
    code = "unavailable"


class Aborted(Error):
    """A peer failed; the job must be joined again."""
    code = "aborted"


class TimedOut(Error, TimeoutError):
    """The deadline passed; the message names who was missing."""
    code = "timed_out"


class Unimplemented(Error):
    """This build or this fabric cannot do it."""
    code = "unimplemented"


class Internal(Error):
    """A bug in PHub."""
    code = "internal"


_BY_CODE = {c.code: c for c in Error.__subclasses__()}


def make_error(code: str, message: str) -> Error:
    """The exception for a code and its sentence."""
    return _BY_CODE.get(code, Error)(message, code)


_core.set_error_factory(make_error)
