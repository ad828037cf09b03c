"""A mock of Amazon's object storage on the loopback, by moto, where only one key is accepted."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session
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
def s3_server(port: int = 0) -> Iterator[S3Server]:
    """Run the server; whatever was in an earlier one in this process is gone."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        key = create_owner(make_client("iam", address, "setup", "setup"))
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        environment = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": address,
        }
        yield S3Server(address, environment)
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        server.stop()


def create_owner(iam: Any) -> dict[str, str]:
    """Return the key of a user who may do all in the storage."""
    iam.create_user(UserName="owner")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]})
    iam.put_user_policy(UserName="owner", PolicyName="all", PolicyDocument=policy)
    key: dict[str, str] = iam.create_access_key(UserName="owner")["AccessKey"]
    return key
