"""Photos in object storage that speaks Amazon's S3, through botocore, which the extra s3 brings."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Any

from pandacat.core.console import print_status
from pandacat.core.errors import PandacatError, some_of
from pandacat.data.images import UnreadablePhotoError
from pandacat.data.sources.photo_files import HEAD_BYTES, is_hidden, kind_of
from pandacat.data.sources.prefetch import READERS, Photo
from pandacat.data.sources.zip_files import LARGEST_FILE_BYTES

SCHEME = "s3://"

ATTEMPTS = 3
"""To read a photo whose transfer breaks off; what gets no answer is repeated by botocore."""

_WRONG_KEY = {
    *("403", "AccessDenied", "AuthFailure", "ExpiredToken", "Forbidden", "InvalidAccessKeyId"),
    *("InvalidClientTokenId", "InvalidToken", "SignatureDoesNotMatch"),
}
_NO_BUCKET = {"404", "NoSuchBucket", "NotFound"}


def list_photos(address: str) -> Iterator[Photo]:
    """Return the photos below an address, such as `s3://bucket/folder`, in the order of their keys.

    They are listed page by page while the first ones are in use. Files are passed over as in
    folders. What returns the bytes of a photo may be pickled, to fetch them on another machine, and
    raises `UnreadablePhotoError` if it is too large, or gone since it was listed.

    Raises:
        PandacatError: there are no photos, or the storage can't be used; the latter also later.
    """
    photos = _folder(address).photos()
    first = next(photos, None)
    if first is None:
        raise PandacatError(
            f"No photos in {address}: name the bucket and folder they are in, s3://BUCKET/FOLDER."
        )
    return chain([first], photos)


def _folder(address: str) -> "_Folder":
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    return _Folder(address, bucket, key.strip("/"), _client(address))


@cache
def _folder_of_process(address: str) -> "_Folder":
    """Return the one of this process, since a client takes long to make."""
    return _folder(address)


def _client(address: str) -> Any:
    try:
        from botocore.config import Config
        from botocore.session import Session
    except ModuleNotFoundError:
        raise PandacatError(
            f"{address} needs the extra s3: `make extra-s3` installs it in the project's folder, "
            "and `pip install '.[s3]'` in the active environment."
        ) from None
    try:
        settings = Config(connect_timeout=10, max_pool_connections=READERS)
        return Session().create_client("s3", config=settings)
    except Exception as error:
        raise s3_error(error, address) or error from None


@dataclass(frozen=True)
class _Folder:
    """All in a bucket whose keys begin with a folder, or the one file of that key."""

    address: str
    bucket: str
    key: str
    client: Any

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the client behind: the other process has settings and a key of its own."""
        return _folder_of_process, (self.address,)

    def photos(self) -> Iterator[Photo]:
        """Yield the photos; in the end, say what was passed over."""
        passed_over: list[str] = []
        for key in self.keys():
            name = f"{SCHEME}{self.bucket}/{key}"
            kind = kind_of(key, partial(self.read_head, key))
            if kind == "photos":
                yield name, partial(self.read, key)
            elif kind != "documents":
                passed_over.append(name)
        if passed_over:
            count, some = len(passed_over), some_of(passed_over)
            print_status(f"Passed over, as no photos that can be read: {count} ({some})")

    def keys(self) -> Iterator[str]:
        """Yield the keys of files that are not hidden."""
        inside = f"{self.key}/" if self.key else ""
        count = 0
        for key in self.keys_from(inside):
            count += 1
            parts = key.removeprefix(inside).split("/")
            if parts[-1] and not any(map(is_hidden, parts)):
                yield key
        if self.key and not count:
            first = next(self.keys_from(self.key), None)
            yield from [self.key] if first == self.key else []

    def keys_from(self, start: str) -> Iterator[str]:
        """Yield the keys that begin so, a page of a thousand after the other."""
        try:
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=start):
                yield from (each["Key"] for each in page.get("Contents", []))
        except Exception as error:
            raise s3_error(error, self.address) or error from None

    def read_head(self, key: str) -> bytes:
        """Return the first bytes of a file, as `kind_of` wants them."""
        return self.get(key, Range=f"bytes=0-{HEAD_BYTES - 1}")

    def read(self, key: str) -> bytes:
        """Return the bytes of a photo; errors are those of `list_photos`."""
        return self.get(key)

    def get(self, key: str, **options: str) -> bytes:
        """Return what the storage gives for a key, nothing for a part of an empty file."""
        from botocore.exceptions import BotoCoreError, ClientError

        attempts = 0
        while True:
            attempts += 1
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key, **options)
                if answer["ContentLength"] > LARGEST_FILE_BYTES:
                    answer["Body"].close()
                    raise UnreadablePhotoError(
                        f"larger than {LARGEST_FILE_BYTES >> 20} MiB: save it as JPEG"
                    )
                return bytes(answer["Body"].read())
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "InvalidRange":
                    return b""
                if code == "NoSuchKey":
                    raise UnreadablePhotoError("gone since it was listed") from None
                raise s3_error(error, self.address) or error from None
            except BotoCoreError as error:
                if attempts == ATTEMPTS:
                    raise s3_error(error, self.address) or error from None


def s3_error(error: BaseException, address: str) -> PandacatError | None:
    """Return what to do about an error, if botocore raised it or what it came from.

    `address` is that of the storage, as in `s3://bucket/path`.
    """
    if "botocore" not in sys.modules:
        return None
    from botocore import exceptions

    no_answer = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
    )
    no_key = (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)
    for each in _causes(error):
        reason = " ".join(str(each).split())[:200].rstrip(".")
        if isinstance(each, exceptions.ClientError):
            return PandacatError(f"{address}: {_answer(each.response.get('Error', {}))}")
        if isinstance(each, no_answer):
            server = "/".join(str(each.kwargs.get("endpoint_url") or "").split("/")[:3])
            return PandacatError(
                f"{address}: the server {server} does not answer. Check the network, and the "
                "server's address (`endpointurl` of DVC's remote, AWS_ENDPOINT_URL), and run it "
                "again."
            )
        if isinstance(each, no_key):
            return PandacatError(
                f"{address} can't be used ({reason}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials."
            )
        if isinstance(each, exceptions.BotoCoreError):
            return PandacatError(
                f"{address} can't be used ({reason}): correct the address or the settings of AWS."
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
        return "there is no such bucket. Check its name and the server's address, or create it."
    text = error.get("Message", "")
    return f"the server answers {code} ({text}). Check the address, and run it again later."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
