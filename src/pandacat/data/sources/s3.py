"""Object storage that speaks Amazon's S3, through botocore, which the extra s3 brings."""

import sys
from collections.abc import Iterator

from pandacat.core.errors import PandacatError

_WRONG_KEY = {
    *("403", "AccessDenied", "AuthFailure", "ExpiredToken", "Forbidden", "InvalidAccessKeyId"),
    *("InvalidClientTokenId", "InvalidToken", "SignatureDoesNotMatch"),
}
_NO_BUCKET = {"404", "NoSuchBucket", "NotFound"}


def s3_error(error: BaseException, address: str) -> PandacatError | None:
    """Return what to do about an error, if botocore raised it or what it came from.

    `address` is that of the storage, as in `s3://bucket/path`.
    """
    if "botocore" not in sys.modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    for each in _causes(error):
        if isinstance(each, ClientError):
            return PandacatError(f"{address}: {_answer(each.response.get('Error', {}))}")
        if isinstance(each, HTTPClientError):
            return PandacatError(
                f"{address}: {each.kwargs.get('endpoint_url') or 'the server'} does not answer. "
                "Check the network, and the address of the server (`endpointurl` of DVC's remote, "
                "AWS_ENDPOINT_URL), and run it again."
            )
        if isinstance(each, BotoCoreError):
            reason = str(each).rstrip(".")
            return PandacatError(
                f"{address} can't be used ({reason}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials."
            )
    return None


def _answer(error: dict[str, str]) -> str:
    code = error.get("Code", "")
    if code in _WRONG_KEY:
        return (
            f"the server refuses this key ({code}). Check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials, and that the key may be used here."
        )
    if code in _NO_BUCKET:
        return (
            "there is no such bucket. Check its name and the address of the server, or create it."
        )
    text = error.get("Message", "")
    return f"the server answers {code} ({text}). Check the address, and run it again later."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
