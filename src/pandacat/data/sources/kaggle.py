"""A data set from Kaggle, with an account or without."""

import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from pandacat.core.errors import PandacatError
from pandacat.data.sources import transfer
from pandacat.data.sources.archive import open_archive
from pandacat.data.sources.transfer import Patience

if TYPE_CHECKING:
    from kagglesdk import KaggleClient

DOWNLOADS = Path(".pandacat/downloads")
"""Outside all stages' outputs, so that a broken download is still there to be resumed."""

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


@dataclass(frozen=True)
class Facts:
    """What Kaggle says about a data set; `unknown` where it says nothing."""

    title: str
    version: str
    license: str


def download(
    dataset: str,
    target: Path,
    *,
    accept: Callable[[Path], object] = lambda archive: None,
    patience: Patience = Patience(),  # noqa: B008
) -> Facts:
    """Write the archive of the data set `owner/name` to `target`, as it came.

    The current version is taken. A download that breaks, or whose archive `accept` refuses by
    raising, is kept in `DOWNLOADS`; the next call goes on from there.

    Raises:
        PandacatError: Kaggle can't be reached or refuses, the credentials can't be used, or what
            comes is no whole zip; says what to do.
    """
    kept = DOWNLOADS / f"{dataset.replace('/', '__')}.zip"
    signed_in = True
    try:
        api = transfer.retry(lambda: _connect(patience), patience)
        signed_in = api.signed_in
        facts = transfer.retry(lambda: _facts(api, dataset), patience)
        transfer.receive(
            lambda headers: _open_archive(api, dataset, facts.version, headers),
            kept,
            patience,
            title=dataset,
        )
    except requests.RequestException as error:
        raise PandacatError(_sentence(error, dataset, signed_in=signed_in)) from None
    _check_zip(kept, dataset)
    try:
        accept(kept)
    except PandacatError as error:
        raise PandacatError(f"{error} The archive lies at {kept}.") from None
    shutil.move(kept, target)
    transfer.discard(kept)
    return facts


@dataclass(frozen=True)
class _Connection:
    """The `kaggle` client and the session through which it speaks."""

    client: "KaggleClient"
    session: requests.Session

    @property
    def signed_in(self) -> bool:
        return self.session.auth is not None


class _TimeLimits(HTTPAdapter):
    """Gives all requests the time limits that the client leaves out."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._limits = (patience.connect_seconds, patience.stall_seconds)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        return super().send(request, *args, **{**options, "timeout": self._limits})


def _connect(patience: Patience) -> _Connection:
    """Return the client, signed in if the user's environment or home folder has credentials.

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
            """As the original, but with time limits and where KAGGLE_API_ENVIRONMENT points."""
            client = KaggleClient(
                env=get_env(),
                username=self.config_values.get(self.CONFIG_NAME_USER),
                password=self.config_values.get(self.CONFIG_NAME_KEY),
                api_token=self.config_values.get(self.CONFIG_NAME_TOKEN),
            )
            session = _session_of(client)
            session.headers["Accept-Encoding"] = "identity"
            for scheme in ("https://", "http://"):
                session.mount(scheme, _TimeLimits(patience))
            return client

    api = Api()
    places = _credential_places(Path(api.config))
    try:
        with redirect_stdout(StringIO()), suppress(SystemExit):
            api.authenticate()
        client = api.build_kaggle_client()
        connection = _Connection(client, _session_of(client))
        # A key that no header can hold shows here, not in the middle of a download.
        requests.Request("GET", PAGE, auth=connection.session.auth).prepare()
    except requests.RequestException:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _useless_credentials(places) from None
    if places and not connection.signed_in:
        raise _useless_credentials(places)
    return connection


def _session_of(client: "KaggleClient") -> requests.Session:
    """Return what the client sends its requests with; it has no public name."""
    http_client = client.http_client()
    http_client._init_session()
    session: requests.Session = http_client._session
    return session


def _credential_places(key_file: Path) -> list[str]:
    """Return the names of all variables and files in which the client looks and finds something."""
    variables = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
    names = ("access_token", "access_token.txt", "kaggle.json", "credentials.json")
    files = {key_file, *(Path.home() / ".kaggle" / name for name in names)}
    return [
        *(name for name in variables if os.environ.get(name)),
        *(str(path) for path in sorted(files) if path.exists()),
    ]


def _useless_credentials(places: list[str]) -> PandacatError:
    return PandacatError(
        f"Kaggle credentials are incomplete or malformed: {', '.join(places)}. Put them right or "
        f"remove them: public data sets need no account. {SIGN_IN}"
    )


def _facts(api: _Connection, dataset: str) -> Facts:
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.split("/")
    try:
        answer = api.client.datasets.dataset_api_client.get_dataset(request)
    except requests.HTTPError as error:
        if transfer.status_of(error) in transfer.PASSING:
            raise
        return Facts(title=dataset, version="unknown", license="unknown")
    except (AttributeError, KeyError, TypeError, ValueError):
        return Facts(title=dataset, version="unknown", license="unknown")
    return Facts(
        title=answer.title or dataset,
        version=str(answer.current_version_number or "unknown"),
        license=answer.license_name or "unknown",
    )


def _open_archive(
    api: _Connection, dataset: str, version: str, headers: dict[str, str]
) -> requests.Response:
    """Ask for the archive; Kaggle answers with the address of its storage, where it is read."""
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.split("/")
    if version.isdecimal():
        request.dataset_version_number = int(version)
    api.session.headers.update(headers)
    try:
        response: requests.Response = api.client.datasets.dataset_api_client.download_dataset(
            request
        )
    finally:
        for name in headers:
            del api.session.headers[name]
    return response


def _check_zip(path: Path, dataset: str) -> None:
    try:
        with open_archive(path):
            return
    except PandacatError:
        size_bytes = path.stat().st_size
    transfer.discard(path)
    raise PandacatError(
        f"what Kaggle sent for {dataset} ({size_bytes:,} bytes) is no zip, or only a part of one; "
        f"it was thrown away: try again. {BY_HAND}"
    )


def _sentence(error: requests.RequestException, dataset: str, *, signed_in: bool) -> str:
    page = f"{PAGE}/{dataset}"
    sign_in = "" if signed_in else f"{SIGN_IN} "
    status = transfer.status_of(error)
    match status:
        case 401 if signed_in:
            return (
                "Kaggle does not accept your credentials (401): replace them, or remove "
                f"them, since public data sets need no account. {SIGN_IN}"
            )
        case 401:
            return f"Kaggle wants an account for {dataset} (401). {SIGN_IN} {BY_HAND}"
        case 403:
            who = "your account" if signed_in else "anyone without an account"
            return (
                f"Kaggle does not give {dataset} to {who} (403): it is private, or its terms "
                f"must be accepted at {page}. {sign_in}{BY_HAND}"
            )
        case 404:
            return (
                f"Kaggle knows no data set {dataset}, or it is private (404): compare "
                f"photos.kaggle.dataset with the address of its page, {page}. {sign_in}"
            ).strip()
        case 429:
            pause = transfer.retry_after_seconds(error)
            when = f"in {pause / 60:.0f} minutes" if pause >= 60 else "later"
            return f"Kaggle has had too many requests from here (429): run it again {when}."
        case int() if status >= 500:
            return f"Kaggle has trouble itself ({status}): run it again later. {BY_HAND}"
        case int():
            return f"Kaggle refuses the download of {dataset} ({status}): see {page}. {BY_HAND}"
    return (
        f"the download of {dataset} from Kaggle failed: {transfer.cause_of(error)}. Check the "
        f"network and run it again; it goes on where it stopped. {BY_HAND}"
    )
