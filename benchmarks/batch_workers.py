"""What processes and threads a batch should have: seconds by the clock and of the processors, for some combinations.

python benchmarks/batch_workers.py                    # 1x1, 1x2 and 2x1 processes x threads, the demo, 4 jobs of 4 s
python benchmarks/batch_workers.py --jobs 8 --places 4x1 2x2 1x4
python benchmarks/batch_workers.py --places 1x1 2x1 4x1 --ray   # on a Ray cluster that it starts here, a node a worker
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

DEMO = Path(__file__).resolve().parents[1] / "portraittalk" / "assets" / "demo"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--places", nargs="+", default=["1x1", "1x2", "2x1"], help="processes x threads")
parser.add_argument("--jobs", type=int, default=4)
parser.add_argument("--seconds", type=float, default=4.0, help="of speech in each job")
parser.add_argument("--repeat", type=int, default=2)
parser.add_argument("--ray", action="store_true", help="run on a Ray cluster of this machine")


def measure(place: str, jobs: int, seconds: float, address: str | None) -> tuple[float, float, float]:
    """Return clock and processor seconds, and the share of the processors that other programs used meanwhile.

    address: of a Ray cluster, which this process has started.
    """
    workers, threads = place.split("x")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portrait, speech = str(DEMO / "portrait.jpg"), str(DEMO / "speech.wav")
        lines = [{"portrait": portrait, "audio": speech, "seed": k, "out": f"{k}.mp4"} for k in range(jobs)]
        (folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
        line = ["batch", str(folder / "jobs.jsonl"), "--out", str(folder / "out"), "--preview", str(seconds)]
        line += ["--workers", workers, "--threads", threads]
        line += [] if address is None else ["--ray", address]
        before, began, others = sum(spent_by_children().values()), time.monotonic(), busy()
        environment = {**os.environ, "PORTRAITTALK_CACHE": ""}
        environment.pop("OMP_NUM_THREADS", None)
        command, spent = [sys.executable, "-m", "portraittalk", *line], dict[int, float]()
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None:  # a cluster does not add up what its processes have spent
                spent |= spent_by_children()
                time.sleep(0.2)
        if process.returncode:
            sys.exit(f"The batch has ended with exit code {process.returncode}.")
        clock = time.monotonic() - began
        spent = sum(spent.values()) - before
        return clock, spent, (busy() - others - spent) / (clock * (os.cpu_count() or 1))


def spent_by_children() -> dict[int, float]:
    """Return the processor seconds of all processes that this one, or one of them, has started: by number."""
    spent = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            spent[process.pid] = sum(process.cpu_times()[:2])
    return spent


def busy() -> float:
    """Return the seconds that all processors have worked since the system began."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


arguments = parser.parse_args()
cluster = None
if arguments.ray:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    workers, threads = (max(int(place.split("x")[k]) for place in arguments.places) for k in (0, 1))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": threads, "include_dashboard": False})
    for _ in range(workers - 1):
        cluster.add_node(num_cpus=threads)
print("| processes x threads | clock, s | processor, s | used by others |\n|---|---|---|---|")
for _ in range(arguments.repeat):
    for place in arguments.places:
        clock, spent, others = measure(
            place, arguments.jobs, arguments.seconds, None if cluster is None else cluster.address
        )
        print(f"| {place} | {clock:.1f} | {spent:.1f} | {max(others, 0):.0%} |", flush=True)
if cluster is not None:
    cluster.shutdown()
