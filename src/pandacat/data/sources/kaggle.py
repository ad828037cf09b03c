"""Download a data set from Kaggle, with or without an account."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import requests

from pandacat.core.errors import PandacatError
from pandacat.data.provenance import Provenance
from pandacat.data.sources import transfer
from pandacat.data.sources.transfer import RetryPolicy
from pandacat.data.sources.zip_files import open_zip

if TYPE_CHECKING:
    from kagglesdk import KaggleClient

DOWNLOADS = Path(".pandacat/downloads")
"""Outside all stages' outputs, so that an interrupted download can be resumed."""

PAGE = "https://www.kaggle.com/datasets"

SIGN_IN = (
    "To sign in, run `kaggle auth login`, or set KAGGLE_API_TOKEN to a token from "
    "https://www.kaggle.com/settings/api, or KAGGLE_USERNAME and KAGGLE_KEY, or keep the last two "
    "in ~/.kaggle/kaggle.json."
)
BY_HAND = (
    "Or download the zip with a browser and set photos.source to archive and photos.archive to "
    "its path."
)
_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What the `kaggle` client raises for credentials and answers that it did not expect."""


def download(
    dataset: str,
    target: Path,
    *,
    check: Callable[[Path], object] = lambda archive: None,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008
) -> Provenance:
    """Write the archive of the current version of `owner/name` to `target`; return its origin.

    An interrupted download, or one that `check` refuses by raising, stays in `DOWNLOADS`, from
    where the next call resumes it.

    Raises:
        PandacatError: Kaggle can't be reached or refuses, the credentials can't be used, or what
            comes is not a complete zip file; says what to do.
    """
    archive = DOWNLOADS / f"{dataset.replace('/', '__')}.zip"
    signed_in = True
    try:
        with _home_folder():
            client = transfer.retry(lambda: _connect(policy), policy)
        signed_in = _session(client).auth is not None
        origin = transfer.retry(lambda: _origin(client, dataset), policy)
        request = partial(_request_archive, client, dataset, origin.version)
        transfer.download(request, archive, policy, title=dataset)
    except requests.RequestException as error:
        raise PandacatError(_explain(error, dataset, signed_in=signed_in)) from None
    _require_zip(archive, dataset)
    try:
        check(archive)
    except PandacatError as error:
        raise PandacatError(f"{error} The archive is kept at {archive}.") from None
    shutil.move(archive, target)
    transfer.discard(archive)
    return origin


def _connect(policy: RetryPolicy) -> "KaggleClient":
    """Return the client, signed in if the environment or home folder holds credentials.

    Raises:
        PandacatError: there are credentials, but none that can be used.
    """
    # Importing the client, and looking for credentials in vain, prints pages of help.
    with redirect_stdout(StringIO()):
        from kaggle.api.kaggle_api_extended import KaggleApi
    from kagglesdk import KaggleClient
    from kagglesdk.kaggle_env import get_env

    class Api(KaggleApi):  # type: ignore[misc]
        def build_kaggle_client(self) -> KaggleClient:
            """Return a client with time limits, for the server KAGGLE_API_ENVIRONMENT names."""
            client = KaggleClient(
                env=get_env(),
                username=self.config_values.get(self.CONFIG_NAME_USER),
                password=self.config_values.get(self.CONFIG_NAME_KEY),
                api_token=self.config_values.get(self.CONFIG_NAME_TOKEN),
            )
            session = _session(client)
            session.headers["Accept-Encoding"] = "identity"
            limits = (policy.connect_seconds, policy.stall_seconds)
            session.send = partial(session.send, timeout=limits)  # type: ignore[method-assign]
            return client

    api = Api()
    credentials = _credentials_found(Path(api.config))
    try:
        with redirect_stdout(StringIO()), suppress(SystemExit):
            api.authenticate()
        client = api.build_kaggle_client()
        # A key that no header can hold raises here, not in the middle of a download.
        requests.Request("GET", PAGE, auth=_session(client).auth).prepare()
        usable = _session(client).auth is not None or not credentials
    except requests.RequestException:
        raise
    except _MALFORMED:
        usable = False
    if not usable:
        raise PandacatError(
            f"Kaggle credentials are incomplete or malformed: {', '.join(credentials)}. Correct "
            f"or remove them: public data sets need no account. {SIGN_IN}"
        )
    return client


@contextmanager
def _home_folder() -> Iterator[None]:
    """Lend an empty home folder to a user without one, as in a container.

    The client looks there for credentials, and creates a folder when it is imported.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 raises where there is none
    settings = (home / ".kaggle", home / ".config/kaggle")
    is_writable = home.is_absolute() and os.access(home, os.W_OK | os.X_OK)
    if is_writable or any(os.access(folder, os.R_OK | os.X_OK) for folder in settings):
        yield
        return
    given = os.environ.get("HOME")
    with TemporaryDirectory() as lent:
        os.environ["HOME"] = lent
        try:
            yield
        finally:
            del os.environ["HOME"]
            os.environ |= {"HOME": given} if given is not None else {}


def _session(client: "KaggleClient") -> requests.Session:
    """Return the session through which a client sends its requests; it has no public name."""
    http_client = client.http_client()
    http_client._init_session()
    session: requests.Session = http_client._session
    return session


def _credentials_found(key_file: Path) -> list[str]:
    """Return the variables and files with credentials among those that the client reads."""
    variables = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
    names = ("access_token", "access_token.txt", "kaggle.json", "credentials.json")
    files = {key_file, *(Path.home() / ".kaggle" / name for name in names)}
    return [
        *(name for name in variables if os.environ.get(name)),
        *(str(path) for path in sorted(files) if path.exists()),
    ]


def _origin(client: "KaggleClient", dataset: str) -> Provenance:
    """Return what Kaggle states about a data set; all is unknown if it does not answer."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    unknown = Provenance(dataset, "kaggle", f"{PAGE}/{dataset}")
    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.split("/")
    try:
        answer = client.datasets.dataset_api_client.get_dataset(request)
    except requests.HTTPError as error:
        if transfer.status_of(error) in transfer.TRANSIENT_STATUSES:
            raise
        return unknown
    except _MALFORMED:
        return unknown
    return replace(
        unknown,
        title=answer.title or dataset,
        version=str(answer.current_version_number or unknown.version),
        license=answer.license_name or unknown.license,
    )


def _request_archive(
    client: "KaggleClient", dataset: str, version: str, headers: dict[str, str]
) -> requests.Response:
    """Request the archive; Kaggle redirects to its storage."""
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.split("/")
    if version.isdecimal():
        request.dataset_version_number = int(version)
    session = _session(client)
    for name in ("Range", "If-Range"):
        session.headers.pop(name, None)
    session.headers.update(headers)
    response: requests.Response = client.datasets.dataset_api_client.download_dataset(request)
    return response


def _require_zip(path: Path, dataset: str) -> None:
    try:
        with open_zip(path):
            return
    except PandacatError:
        size_bytes = path.stat().st_size
    transfer.discard(path)
    raise PandacatError(
        f"what Kaggle sent for {dataset} ({size_bytes:,} bytes) is not a complete zip file and "
        f"was discarded: try again. {BY_HAND}"
    )


def _explain(error: requests.RequestException, dataset: str, *, signed_in: bool) -> str:
    page = f"{PAGE}/{dataset}"
    status = transfer.status_of(error)
    if status is None:
        return (
            f"the download of {dataset} from Kaggle failed: {transfer.cause_of(error)}. Check the "
            f"network and run it again; it resumes where it stopped. {BY_HAND}"
        )
    pause = transfer.retry_after_seconds(error)
    when = f"in {pause / 60:.0f} minutes" if pause >= 60 else "later"
    reasons = {
        401: "does not accept your credentials: replace them, or remove them, since public data "
        "sets need no account"
        if signed_in
        else "requires an account",
        403: "refuses access: the data set is private, or its terms must be accepted on its page",
        404: "has no such data set, or it is private: compare photos.kaggle.dataset with the "
        "address of its page",
        429: f"received too many requests from here: run it again {when}",
    }
    default = f"has a problem: run it again {when}" if status >= 500 else "refuses the download"
    may_help = status == 401 or (status in (403, 404) and not signed_in)
    advice = f"{SIGN_IN} {BY_HAND}" if may_help else BY_HAND
    return f"Kaggle {reasons.get(status, default)} ({status}; {page}). {advice}"
