"""`pandacat score --ray`, on clusters that run on the loopback: the extra ray."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLES, ROOT
from fake_classifier import Fake

from pandacat.app import cluster, score
from pandacat.app.cli import main
from pandacat.core.errors import PandacatError
from pandacat.models.classifier import Prediction

pytest.importorskip("ray", reason="the extra ray is not installed: make extra-ray")

import ray
from ray.cluster_utils import Cluster
from s3_server import S3Server, s3_server, use

LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for the machine's address in its network."""

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # not to import this there

PHOTOS = 200
BLOCK = 40
TASK = 8


class Logging(Fake):
    """Takes its time, and writes to a file which photos it was given, and where.

    It begins when so many machines do.
    """

    def __init__(self, log: Path, seconds: float = 0, machines: int = 1) -> None:
        super().__init__()
        self.log, self.seconds, self.machines = log, seconds, machines

    def predict_photo(self, path: str, read: Callable[[], bytes]) -> Prediction:
        time.sleep(self.seconds)
        with self.log.open("a") as stream:
            stream.write(f"{path} {os.getppid()}\n")
        while len(machines_in(self.log)) < self.machines:
            time.sleep(0.01)
        return super().predict_photo(path, read)


def machines_in(log: Path) -> set[str]:
    """Return the numbers of the processes that started those which wrote to a log."""
    parents = {line.split()[1] for line in log.read_text().splitlines()}
    return parents - {"1"}  # that of processes whose machine is gone


SLOWLY = """
import sys
from functools import partial
from pathlib import Path
import test_ray_score as tests
from pandacat.app import score
from pandacat.app.cli import main
classifier = tests.Logging(Path(sys.argv[1]), seconds=0.02)
score.load = lambda _: ("fake", classifier)
score.portable = lambda _: partial(tests._same, classifier)
score.BLOCK_PHOTOS, score.TASK_PHOTOS = tests.BLOCK, tests.TASK
main(sys.argv[2:])
"""

APART = """
import copy
import sys
from functools import partial
from fake_classifier import Fake
from pandacat.app import score
from pandacat.app.cli import main
score.load = lambda _: ("fake", Fake())
score.portable = lambda classifier: partial(copy.copy, classifier)
sys.exit(main(sys.argv[1:]))
"""


class Refusing(Fake):
    def predict_photo(self, path: str, read: Callable[[], bytes]) -> Prediction:
        raise PandacatError("No key: set one.")


class Dying(Fake):
    def predict_photo(self, path: str, read: Callable[[], bytes]) -> Prediction:
        os._exit(1)


@contextmanager
def running(head_cpus: int) -> Iterator[Cluster]:
    machines = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": head_cpus,
            "node_ip_address": LOOPBACK,
            "include_dashboard": False,
        },
    )
    try:
        yield machines
    finally:
        machines.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _no_reports() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", f"{ROOT}/src:{ROOT}/tests:{os.environ.get('PYTHONPATH', '')}")
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.put_photos("zoo", PHOTOS)
        yield running


@pytest.fixture(scope="module")
def one_core(server: S3Server) -> Iterator[str]:
    """A cluster of one machine with one core; its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        with running(head_cpus=1) as machine:
            yield machine.address


@pytest.fixture(autouse=True)
def here(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one; the user has the key of the storage."""
    use(server, monkeypatch, home=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score, "BLOCK_PHOTOS", BLOCK)
    monkeypatch.setattr(score, "TASK_PHOTOS", TASK)
    classify_with(monkeypatch, Fake())
    return tmp_path


def classify_with(monkeypatch: pytest.MonkeyPatch, classifier: Fake) -> None:
    monkeypatch.setattr(score, "load", lambda _: ("fake", classifier))
    monkeypatch.setattr(score, "portable", lambda _: partial(_same, classifier))


def _same(classifier: Fake) -> Fake:
    return classifier


def run(*sources: str, to: str, ray: str = "") -> int:
    return main(["score", *sources, "--to", to, *(["--ray", ray] if ray else [])])


def run_apart(*sources: str, to: str, ray: str) -> subprocess.CompletedProcess[str]:
    """Do what `run` does in a process of its own, which knows of no other cluster."""
    command = [sys.executable, "-c", APART, "score", *sources, "--to", to, "--ray", ray]
    return subprocess.run(command, capture_output=True, text=True)


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.parquet")}


def make_photos(count: int) -> None:
    Path("photos").mkdir()
    for number in range(count):
        Path(f"photos/{number:05d}.jpg").write_bytes(b"%d" % number)


def test_scores_are_byte_for_byte_those_of_one_process(one_core: str) -> None:
    make_photos(50)
    Path("photos/00003.jpg").write_bytes(b"")
    Path("photos/gone.jpg").symlink_to("nowhere.jpg")
    Path(os.fsdecode(b"photos/caf\xe9.jpg")).write_bytes(b"odd")
    with zipfile.ZipFile("zoo.zip", "w") as packed:
        packed.writestr("inside/a.jpg", b"a")
    sources = ("photos", "zoo.zip", "s3://zoo/many")
    assert run(*sources, to="alone") == run(*sources, to="shared", ray=one_core) == 1
    assert files("alone") == files("shared")
    assert len(files("alone")) == 7


def test_a_network_gives_the_same_bytes_there(
    one_core: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(here)
    shutil.copytree(EXAMPLES, "photos")
    Path("photos/bad.jpg").write_bytes(b"no picture")
    arguments = ["score", "photos", "--model", "pretrained", "--to"]
    assert main([*arguments, "alone"]) == main([*arguments, "shared", "--ray", one_core]) == 1
    assert files("alone") == files("shared") != {}


def test_a_cluster_of_this_machine_alone_leaves_nothing_behind(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(50)
    before = {path.name for path in here.iterdir()}
    assert run_apart("photos", to="shared", ray="local").returncode == 0
    assert {path.name for path in here.iterdir()} - before == {"shared"}
    monkeypatch.setattr(score, "BLOCK_PHOTOS", 1_000)
    assert run("photos", to="alone") == 0
    assert files("alone") == files("shared") != {}


def test_a_cluster_with_a_token_is_for_those_who_have_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(50)
    monkeypatch.setattr(score, "BLOCK_PHOTOS", 1_000)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    command = str(Path(sys.executable).with_name("ray"))
    subprocess.run([command, "get-auth-token", "--generate"], check=True, capture_output=True)
    start = [command, "start", "--head", "--include-dashboard=false", "--block", "--port=0"]
    with subprocess.Popen(
        [*start, f"--node-ip-address={LOOPBACK}"], stdout=subprocess.PIPE, text=True
    ) as machine:
        assert machine.stdout
        address = next(line.split("'")[1] for line in machine.stdout if "--address='" in line)
        try:
            assert run_apart("photos", to="shared", ray=address).returncode == 0
            monkeypatch.delenv("RAY_AUTH_MODE")
            refused = run_apart("photos", to="others", ray=address)
        finally:
            machine.terminate()
    assert run("photos", to="alone") == 0
    assert files("alone") == files("shared")
    assert refused.returncode == 1
    advice = "this cluster has a token: copy ~/.ray/auth_token of its first machine to this one"
    assert advice in refused.stderr


def test_one_of_two_machines_is_killed_and_no_photo_is_lost_or_double(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("s3://zoo/many", to="alone") == 0
    log = here / "log"
    classify_with(monkeypatch, Logging(log, seconds=0.02, machines=2))
    with running(head_cpus=0) as machines:
        killed, _ = (machines.add_node(num_cpus=1, node_ip_address=LOOPBACK) for _ in range(2))

        def kill() -> None:
            while not files("scores"):
                time.sleep(0.01)
            machines.remove_node(killed, allow_graceful=False)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        assert run("s3://zoo/many", to="scores", ray=machines.address) == 0
        killer.join()
    assert files("scores") == files("alone")
    assert len(machines_in(log)) == 2


def test_a_killed_command_goes_on_and_predicts_few_photos_again(
    one_core: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = here / "log"
    command = ["score", "s3://zoo/many", "--to", "scores", "--ray", one_core]
    with subprocess.Popen([sys.executable, "-c", SLOWLY, str(log), *command]) as process:
        while len(files("scores")) < 2:
            time.sleep(0.01)
            assert process.poll() is None
        process.kill()
    classify_with(monkeypatch, Logging(log))
    scored = len(files("scores")) * BLOCK
    assert scored < PHOTOS
    assert main(command) == 0
    classify_with(monkeypatch, Fake())
    assert run("s3://zoo/many", to="alone") == 0
    assert files("scores") == files("alone")
    given = Counter(line.split()[0] for line in log.read_text().splitlines())
    assert len(given) == PHOTOS
    assert given.total() - PHOTOS <= BLOCK + cluster.TASKS_AHEAD * TASK


def test_ctrl_c_ends_it_and_the_same_command_goes_on(
    one_core: str, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    classify_with(monkeypatch, Logging(here / "log", seconds=0.02))

    def press() -> None:
        while not files("scores"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    assert run("s3://zoo/many", to="scores", ray=one_core) == 130
    assert " photos are scored; the same command scores the rest.\n" in capfd.readouterr().err
    classify_with(monkeypatch, Fake())
    assert run("s3://zoo/many", to="scores", ray=one_core) == 0
    assert run("s3://zoo/many", to="alone") == 0
    assert files("scores") == files("alone")


def test_errors_there_are_sentences_here(
    one_core: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photos(3)
    classify_with(monkeypatch, Refusing())
    assert run("photos", to="scores", ray=one_core) == 1
    assert capsys.readouterr().err == f"pandacat: On {LOOPBACK}: No key: set one.\n"
    monkeypatch.setattr(cluster, "RETRIES", 1)
    classify_with(monkeypatch, Dying())
    assert run("photos", to="scores", ray=one_core) == 1
    assert "Ray gave up after 1 retries (WorkerCrashedError)" in capsys.readouterr().err


def test_without_a_machine_for_the_work_it_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photos(3)
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_CHECKS", 0.1)
    with running(head_cpus=0) as empty:
        assert run("photos", to="scores", ray=empty.address) == 1
    assert "Ray's cluster has no machine with a free core: start one" in capsys.readouterr().err


def test_other_versions_there_are_told(
    one_core: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photos(3)
    other = ("2.59.0", "3.11.0")
    monkeypatch.setattr(ray._private.utils, "compute_version_info", lambda: other)
    assert run("photos", to="scores", ray=one_core) == 1
    message = capsys.readouterr().err
    assert "Version mismatch" in message
    assert "Ray: 2.59.0" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("answers", [True, False])
def test_an_address_where_no_ray_answers_is_told_soon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: bool
) -> None:
    make_photos(3)
    monkeypatch.setattr(cluster, "SECONDS_TO_ANSWER", 0.5)
    with socket.create_server((LOOPBACK, 0)) as listening:
        address = f"{LOOPBACK}:{listening.getsockname()[1]}"
        if not answers:
            listening.close()
        began = time.monotonic()
        assert run("photos", to="scores", ray=address) == 1
        assert time.monotonic() - began < 10
    assert f"--ray {address}: no Ray answers at {address}. Start it" in capsys.readouterr().err
    assert not Path("scores").exists()


@pytest.mark.parametrize("address", ["", "nonsense", "ray://127.0.0.2:10001", "127.0.0.2:port"])
def test_an_address_of_another_form_is_told(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    make_photos(3)
    assert main(["score", "photos", "--to", "scores", f"--ray={address}"]) == 1
    assert f"--ray {address}: give HOST:PORT of the first machine" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_number_of_photos(one_core: str) -> None:
    fake: Any = Fake()

    def peak(count: int) -> int:
        photos = ((f"{number:09d}.jpg", partial(bytes, 1000)) for number in range(count))
        tracemalloc.start()
        assert sum(1 for _ in score.score_on_cluster(fake, photos)) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    with cluster.cluster(one_core):
        peak(500)
        assert peak(20_000) < 1.2 * peak(1_000)
