"""Both endpoints that a worker needs, on loopback: `kcl-py local`, and the demo."""

from types import TracebackType
from typing import Self

from kcl_py.errors import ConfigError
from kcl_py.local.dynamodb_server import DynamoDBServer
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.server_thread import ServerThread


class LocalEndpoints:
    """A Kinesis and a DynamoDB endpoint, each in a thread of its own. Both begin empty and forget when they stop.

    Args:
        model: the streams to serve; a new one with the real limits if absent.
        kinesis_port: 0 for a free one.
        dynamodb_port: 0 for a free one.
        host: the address that both listen on; neither asks for a password.
    """

    def __init__(
        self,
        model: KinesisModel | None = None,
        *,
        kinesis_port: int = 0,
        dynamodb_port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self.kinesis = ServerThread(KinesisServer(model, host=host, port=kinesis_port))
        self._dynamodb = DynamoDBServer(host=host, port=dynamodb_port)

    @property
    def kinesis_url(self) -> str:
        """The Kinesis endpoint, once started."""
        return self.kinesis.url

    @property
    def dynamodb_url(self) -> str:
        """The DynamoDB endpoint, once started."""
        return self._dynamodb.url

    @property
    def environment(self) -> dict[str, str]:
        """What every AWS SDK and tool must find in its environment to talk to these endpoints, once started."""
        region = self.kinesis.server.model.region
        return {
            "AWS_ENDPOINT_URL_KINESIS": self.kinesis_url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    @property
    def exports(self) -> tuple[str, ...]:
        """`environment` as lines to paste into a shell."""
        return tuple(f"export {name}={value}" for name, value in self.environment.items())

    def start(self) -> Self:
        """Return when both listen.

        Raises:
            ConfigError: a port is taken, or moto is not installed.
        """
        self._dynamodb.start()
        try:
            self.kinesis.start()
        except OSError as problem:
            self._dynamodb.stop()
            raise ConfigError(f"the local Kinesis cannot listen: {problem}; choose another port or host") from None
        return self

    def stop(self) -> None:
        """Close both. Does nothing the second time."""
        self.kinesis.stop()
        self._dynamodb.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
