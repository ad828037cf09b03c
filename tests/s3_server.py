"""A mock of Amazon's object storage on the loopback, by moto, where only one key is accepted."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import requests
from moto import settings
from moto.server import ThreadedMotoServer

EVERYTHING = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """The server, with an owner, who may do all in it."""

    address: str
    environment: dict[str, str]
    """Of programs that use it with the owner's key."""

    server: ThreadedMotoServer

    def stop(self) -> None:
        """Refuse connections from now on; what it holds stays."""
        self.server.stop()
        self.server._server.server_close()

    def start(self) -> None:
        """Start again, at the same address."""
        self.server.start()

    def put_photos(self, bucket: str, count: int) -> None:
        """Create a bucket with files `many/000.jpg` and so on, each of which holds its number."""
        self.client.create_bucket(Bucket=bucket)
        for number in range(count):
            key = f"many/{number:03d}.jpg"
            self.client.put_object(Bucket=bucket, Key=key, Body=b"%d" % number)

    @property
    def client(self) -> Any:
        """A client of botocore with the owner's key."""
        return make_client(
            "s3",
            self.address,
            self.environment["AWS_ACCESS_KEY_ID"],
            self.environment["AWS_SECRET_ACCESS_KEY"],
        )


def make_client(service: str, address: str, key: str, secret: str) -> Any:
    session = botocore.session.Session()
    session.set_credentials(key, secret)
    return session.create_client(service, REGION, endpoint_url=address)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run the server; what it holds is gone with it."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, server._port = server.get_host_and_port()
    address = f"http://127.0.0.1:{server._port}"
    try:
        key = create_owner(make_client("iam", address, "setup", "setup"))
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        environment = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": address,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield S3Server(address, environment, server)
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        requests.post(f"{address}/moto-api/reset")
        server.stop()


def use(server: S3Server, patch: pytest.MonkeyPatch, home: Path) -> None:
    """Let this process have the owner's key, and no settings of the user who runs the tests."""
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            patch.delenv(name)
    for name, value in server.environment.items():
        patch.setenv(name, value)
    patch.setenv("HOME", str(home))


def create_owner(iam: Any) -> dict[str, str]:
    """Return the key of a user who may do all in the storage."""
    iam.create_user(UserName="owner")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]})
    iam.put_user_policy(UserName="owner", PolicyName="all", PolicyDocument=policy)
    key: dict[str, str] = iam.create_access_key(UserName="owner")["AccessKey"]
    return key
