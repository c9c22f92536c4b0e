"""The scripts of docs/cluster.md, as far as one machine allows, with stages that do next to nothing.

`ssh` runs its command on this machine.
"""

import re
import socket
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipeline.conftest import Repository
from tests.pipeline.stub_stages import put_stubs
from tests.pipeline.test_cluster import ran_stages

PAGE = (Path(__file__).parents[2] / "docs/cluster.md").read_text()
BLOCKS = {
    title: re.findall(r"```(?:sh|yaml)\n(.*?)```", text, re.DOTALL)
    for title, _, text in (part.partition("\n") for part in re.split(r"\n##+ ", PAGE))
}
# There is no .venv next to the Makefile, because the tests' environment is first on the path.
MAKE = 'make() { command make -o .venv/.requirements -o .venv/.extension "$@"; }\n'


@pytest.fixture
def repository(small_repository, tmp_path) -> Repository:
    repository = small_repository.copy_to(tmp_path / "head")
    put_stubs(repository)
    return repository


@pytest.mark.slow
def test_workers_over_ssh(repository):
    scheduler, workers, study = BLOCKS["Dask on machines that you reach by ssh"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = f"""
        set -m  # each job has a process group of its own
        trap 'for job in $(jobs -p); do kill -- -$job; done' EXIT
        ssh() {{ shift; sh -c "$*"; }}
        {MAKE}
        {scheduler.rstrip()} &
        {workers.replace(".venv/bin/python", "python").replace("wait", "")}
        {study}
    """
    output = repository.run("bash", "-c", script.replace("8786", port))
    assert " running, 0 failed" in output
    assert ran_stages(repository.run("dvc", "repro")) == set()
    assert (repository.root / "results/metrics/vae-1.json").exists()


@pytest.mark.slow
def test_a_job_array_of_slurm(repository):
    before, job, after = BLOCKS["Slurm"]
    repository.edit("seeds: [0]", "seeds: [0, 1]")
    repository.run("bash", "-ec", before)
    (repository.root / "seeds.sh").write_text(job)
    for seed in ("0", "1"):
        repository.environment |= {"SLURM_SUBMIT_DIR": str(repository.root), "SLURM_ARRAY_TASK_ID": seed}
        repository.run("sh", "seeds.sh")
    output = repository.run("bash", "-ec", MAKE + after)
    assert ran_stages(output) == {"floor@aae", "floor@vae", "summarize", "report"}
    assert ran_stages(repository.run("dvc", "repro")) == set()


def test_a_cluster_of_kubernetes_starts_what_the_page_starts_elsewhere():
    (text,) = BLOCKS["Kubernetes"]
    spec = YAML(typ="safe").load(text)["spec"]
    worker, scheduler = (spec[role]["spec"]["containers"][0] for role in ("worker", "scheduler"))
    for arguments in (worker["args"], scheduler["args"]):
        assert arguments[:3] == [".venv/bin/python", "-m", "dask"]
    assert worker["args"][3:6] == ["worker", "--nthreads", "1"]
    ports = {each["name"] for each in scheduler["ports"]}
    assert {each["targetPort"] for each in spec["scheduler"]["service"]["ports"]} == ports


CONNECT = """
from distributed import LocalCluster, Client, Security
options = {"n_workers": 0, "protocol": "tls://", "dashboard_address": None, "processes": False}
with LocalCluster(**options, security=Security()) as cluster:
    assert cluster.scheduler_address.startswith("tls://")
    with Client(cluster.scheduler_address, timeout=20) as client:
        print("connected", len(client.scheduler_info()["workers"]))
    try:
        Client(cluster.scheduler_address.replace("tls://", "tcp://"), timeout=2)
    except Exception:
        print("refused")
"""


def test_tls(tmp_path):
    """The page's certificates connect; without encryption nobody does."""
    certificates, settings = BLOCKS["Security"]
    script = f'set -e\n{certificates}{settings}exec python -c "$CONNECT"\n'
    repository = Repository(tmp_path)
    repository.environment["CONNECT"] = CONNECT
    output = repository.run("bash", "-c", script)
    assert "connected 0\n" in output
    assert output.endswith("refused\n")
