"""One machine: what a supervisor does with its ranks, seen on real processes and real signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.gang.gangs import Run, alive, wait_for
from tests.gang.rank import undisturbed
from trainer.gang.endpoint import rank_log

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("up", flush=True)
while True: time.sleep(9)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_all_ranks_finish_and_the_pod_exits_0(run: Run) -> None:
    pod = run.pod(run.rank_command(8), "--ranks", "3")
    assert pod.wait() == 0, pod.output()
    assert run.result() == undisturbed(8)
    assert {(event["rank"], event["size"]) for event in run.events("finished")} == {(0, 3), (1, 3), (2, 3)}
    assert pod.output() == ""


def test_each_rank_knows_its_place(run: Run) -> None:
    dump = (
        "import json, os\n"
        "with open(os.environ['WHERE'] + os.environ['HOROVOD_RANK'], 'w') as file:\n"
        "    json.dump(dict(os.environ), file)"
    )
    pod = run.pod(python(dump), "--ranks", "2", environment={"WHERE": f"{run.folder}/env-"})
    assert pod.wait() == 0, pod.output()
    seen = [json.loads((run.folder / f"env-{rank}").read_text()) for rank in (0, 1)]
    for rank, values in enumerate(seen):
        expected = {
            "HOROVOD_RANK": str(rank),
            "HOROVOD_SIZE": "2",
            "HOROVOD_LOCAL_RANK": str(rank),
            "HOROVOD_LOCAL_SIZE": "2",
            "HOROVOD_CROSS_RANK": "0",
            "HOROVOD_CROSS_SIZE": "1",
            "HOROVOD_CONTROLLER": "gloo",
            "HOROVOD_CPU_OPERATIONS": "gloo",
            "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
            "HOROVOD_GLOO_TIMEOUT_SECONDS": "5",
            "HOROVOD_FUSION_THRESHOLD": "0",
            "TRAINER_GENERATION": "1",
        }
        assert {name: values[name] for name in expected} == expected
        assert int(values["OMP_NUM_THREADS"]) >= 1
    assert len({values["HOROVOD_GLOO_RENDEZVOUS_PORT"] for values in seen}) == 1


def test_settings_of_the_environment_win(run: Run) -> None:
    dump = "import os, sys; print(os.environ['OMP_NUM_THREADS'], os.environ['HOROVOD_GLOO_TIMEOUT_SECONDS'])"
    environment = {"OMP_NUM_THREADS": "7", "HOROVOD_GLOO_TIMEOUT_SECONDS": "9"}
    pod = run.pod(python(dump), environment=environment)
    assert pod.wait() == 0
    assert pod.output() == "7 9\n"


def test_the_chief_speaks_untouched_and_the_others_are_silent(run: Run) -> None:
    code = (
        "import os, sys; print('\\x1b[1mout', os.environ['HOROVOD_RANK']); print('err\\rx', file=sys.stderr)"
    )
    pod = run.pod(python(code), "--ranks", "2")
    assert pod.wait() == 0
    assert sorted(pod.log.read_bytes().split(b"\n")) == [b"", b"\x1b[1mout 0", b"err\rx"]


def test_a_killed_rank_is_started_again_with_all_others(run: Run) -> None:
    pod = run.pod(run.rank_command(40), "--ranks", "2")
    os.kill(run.wait_for_step(12, rank=1)["pid"], signal.SIGKILL)
    assert pod.wait() == 0, pod.output()
    assert run.result() == undisturbed(40)
    assert {event["generation"] for event in run.events("start")} == {1, 2}
    last = max(event["step"] for event in run.events("step", generation=1, rank=0))
    first = min(event["step"] for event in run.events("step", generation=2))
    assert first == last + 1, "the chief saved what was finished"
    assert (
        "rank 1 was killed by SIGKILL; restarting all 2 ranks from the newest state (generation 2)"
        in pod.output()
    )


def test_a_killed_chief_is_started_again_too(run: Run) -> None:
    pod = run.pod(run.rank_command(30), "--ranks", "3")
    os.kill(run.wait_for_step(7, rank=0)["pid"], signal.SIGKILL)
    assert pod.wait() == 0, pod.output()
    assert run.result() == undisturbed(30)


def test_each_generation_has_a_rendezvous_of_its_own(run: Run) -> None:
    code = "import os; print(os.environ['HOROVOD_GLOO_RENDEZVOUS_PORT'], flush=True); os._exit(1)"
    pod = run.pod(python(code), "--max-failures", "3")
    assert pod.wait() == 1
    ports = re.findall(r"^\d+$", pod.output(), re.MULTILINE)
    assert len(set(ports)) == 3


def test_64_from_any_rank_ends_everything_at_once(run: Run) -> None:
    pod = run.pod(run.rank_command(1000, "--exit", "1:6:64"), "--ranks", "3")
    assert pod.wait() == 64
    assert len(run.pids()) == 3, "nothing was started again"
    assert "rank 1 | rank 1 has had enough" in pod.output()


def test_failures_without_a_new_step_end_with_the_ranks_code(run: Run) -> None:
    pod = run.pod(run.rank_command(1000, "--exit", "1:6:9"), "--ranks", "2", "--max-failures", "2")
    assert pod.wait() == 9
    assert {event["generation"] for event in run.events("start")} == {1, 2}
    assert "rank 1 | rank 1 has had enough" in pod.output()
    assert "rank 1 exited with code 9; 2 consecutive failures without progress; giving up" in pod.output()


def test_failures_with_progress_between_them_do_not_count(run: Run) -> None:
    pod = run.pod(run.rank_command(40), "--ranks", "2", "--max-failures", "2")
    for generation, step in enumerate((10, 20), start=1):
        os.kill(run.wait_for_step(step, rank=1, generation=generation)["pid"], signal.SIGKILL)
    assert pod.wait() == 0, pod.output()
    assert run.result() == undisturbed(40)


def test_a_rank_that_is_always_killed_ends_with_1(run: Run) -> None:
    pod = run.pod(python("import os; os.kill(os.getpid(), 11)"), "--max-failures", "2")
    assert pod.wait() == 1
    assert "rank 0 was killed by SIGSEGV" in pod.output()


def test_a_command_that_is_not_there_is_named(run: Run) -> None:
    pod = run.pod(["/no/such/command"], "--max-failures", "1")
    assert pod.wait() == 1
    assert "cannot start /no/such/command: No such file or directory" in pod.output()


def test_a_frozen_rank_is_killed_at_once_and_no_finished_step_is_lost(run: Run) -> None:
    pod = run.pod(run.rank_command(40), "--ranks", "2", "--grace", "1000")
    os.kill(run.wait_for_step(12, rank=1)["pid"], signal.SIGSTOP)
    assert pod.wait() == 0, pod.output()
    assert [event["step"] for event in run.events("step", rank=0)] == list(range(40))
    assert (
        "lost rank 1, which did not respond or did not stop with the others, and was killed (rank 1 had been "
        "stopped by a signal)" in pod.output()
    )
    assert "of themselves" not in pod.output()


def test_asked_to_stop_while_a_rank_is_stuck_the_chief_saves_within_the_grace(run: Run) -> None:
    pod = run.pod(
        run.rank_command(40, "--hang", "1:12", "--lost-after", "1000"), "--ranks", "2", "--grace", "4"
    )
    wait_for(lambda: run.events("hangs"), "rank 1 is stuck")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 75, pod.output()
    stuck = "no progress since the stop request: rank 1 has been reading images"
    assert f"while the ranks were stopping: {stuck}" in pod.output()
    assert json.loads((run.folder / "checkpoint").read_text())[0] == 12


def test_a_stop_is_agreed_on_saved_and_exits_75(run: Run) -> None:
    pod = run.pod(run.rank_command(1000), "--ranks", "2")
    run.wait_for_step(7)
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 75, pod.output()
    assert not run.living()
    stopped = run.events("stopped")
    assert [event["rank"] for event in sorted(stopped, key=lambda event: event["rank"])] == [0, 1]
    assert len({event["step"] for event in stopped}) == 1

    last = stopped[0]["step"]
    again = run.pod(run.rank_command(last + 10), "--ranks", "2")
    assert again.wait() == 0
    assert run.result() == undisturbed(last + 10)
    assert min(event["step"] for event in run.events("step") if event["step"] > last) == last + 1


def test_a_closed_terminal_is_a_stop(run: Run) -> None:
    pod = run.pod(run.rank_command(1000))
    run.wait_for_step(3)
    pod.signal(signal.SIGHUP)
    assert pod.wait() == 75
    assert run.events("stopped")


def test_a_rank_that_does_not_stop_is_killed_after_the_grace(run: Run) -> None:
    pod = run.pod(python(STUBBORN), "--grace", "0.3")
    wait_for(lambda: "up" in pod.output(), "the rank is up")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 75


def test_ctrl_c_leaves_nothing(run: Run) -> None:
    pod = run.pod(run.rank_command(1000), "--ranks", "2")
    run.wait_for_step(3)
    os.killpg(pod.process.pid, signal.SIGINT)
    assert pod.wait() == 75
    assert not run.living()


def test_a_second_ctrl_c_does_not_wait(run: Run) -> None:
    pod = run.pod(python(STUBBORN), "--grace", "1000")
    wait_for(lambda: "up" in pod.output(), "the rank is up")
    pod.signal(signal.SIGINT)
    wait_for(lambda: "no" in pod.output(), "the rank was asked")
    pod.signal(signal.SIGINT)
    assert pod.wait() == 75


def test_ranks_die_with_a_killed_supervisor(run: Run) -> None:
    pod = run.pod(run.rank_command(100000), "--ranks", "3")
    run.wait_for_step(3)
    assert len(run.living()) == 3
    pod.signal(signal.SIGKILL)
    pod.wait()
    wait_for(lambda: not run.living(), "the ranks are gone")


@pytest.mark.parametrize("own_session", [False, True])
def test_what_a_rank_started_goes_with_it(run: Run, own_session: bool) -> None:
    child = f"subprocess.Popen(['sleep', '1000'], start_new_session={own_session})"
    pod = run.pod(python(f"import subprocess; print({child}.pid, flush=True)"))
    assert pod.wait() == 0
    pid = int(pod.output())
    wait_for(lambda: not alive(pid), "the rank's child is gone")


def test_a_rank_that_stops_of_itself_stops_all_and_they_go_on(run: Run) -> None:
    pod = run.pod(run.rank_command(40), "--ranks", "2")
    os.kill(run.wait_for_step(12, rank=1)["pid"], signal.SIGTERM)
    assert pod.wait() == 0, pod.output()
    assert run.result() == undisturbed(40)
    assert "the ranks stopped for a transient cause (exit code 75); restarting all 2 ranks" in pod.output()


def test_a_rank_that_writes_much_is_not_held_up_and_little_of_it_is_kept(run: Run) -> None:
    code = (
        "import os, sys\n"
        "if os.environ['HOROVOD_RANK'] == '1':\n"
        "    for line in range(200000): print('line', line)\n"
        "    sys.stdout.flush(); os._exit(3)\n"
        "import time; time.sleep(1000)"
    )
    pod = run.pod(python(code), "--ranks", "2", "--max-failures", "1")
    assert pod.wait() == 3
    lines = [line for line in pod.output().splitlines() if "rank 1 | " in line]
    assert lines[-1].endswith("rank 1 | line 199999")
    assert len(lines) == 40


METRICS = """
import os, time
from prometheus_client import Counter, Gauge
from trainer.distribution.rank_status import Phase, report_phase
report_phase(Phase[os.environ["PHASE"]])
rank = os.environ["HOROVOD_RANK"]
Counter("trainer_images", "Images.", ["rank"]).labels(rank).inc(10 + int(rank))
Gauge("trainer_step", "Step.", ["rank"], multiprocess_mode="mostrecent").labels(rank).set(5)
print(f"rank {rank} counts", flush=True)
while not os.path.exists(os.environ["GO"]): time.sleep(0.02)
"""


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def test_the_pod_serves_its_ranks_metrics_and_lingers_for_the_last_scrape(run: Run) -> None:
    go = run.folder / "go"
    words = ("--ranks", "2", "--metrics-port", "0", "--linger", "1000")
    environment = {"GO": str(go), "TMPDIR": str(run.folder), "PHASE": "TRAINING"}
    pod = run.pod(python(METRICS), *words, environment=environment)
    found = wait_for(lambda: re.search(r"metrics on port (\d+)", pod.output()), "the port is named")
    url = f"http://127.0.0.1:{found[1]}"
    wait_for(lambda: 'trainer_images_total{rank="1"} 11.0' in read(f"{url}/metrics"), "rank 1 counts")
    wait_for(lambda: 'trainer_images_total{rank="0"} 10.0' in read(f"{url}/metrics"), "rank 0 counts")
    wait_for(lambda: "trainer_ranks_running 2.0" in read(f"{url}/metrics"), "both ranks are counted")
    wait_for(lambda: is_ready(url), "the supervisor has read that its ranks train")
    assert (read(f"{url}/healthz"), read(f"{url}/readyz")) == ("ok\n", "ok\n")
    assert "rank 1 counts" in wait_for(lambda: read(url + rank_log(1)), "the output of rank 1")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read(url + rank_log(2))
    go.touch()

    wait_for(lambda: lingers(int(found[1])), "it lingers")
    assert pod.process.poll() is None
    assert 'trainer_images_total{rank="1"} 11.0' in read(f"{url}/metrics")
    assert pod.wait() == 0
    assert not list(run.folder.glob("trainer-metrics-*"))


def test_a_pod_is_not_ready_while_its_ranks_load(run: Run) -> None:
    environment = {"GO": str(run.folder / "go"), "TMPDIR": str(run.folder), "PHASE": "LOADING"}
    pod = run.pod(python(METRICS), "--metrics-port", "0", environment=environment)
    found = wait_for(lambda: re.search(r"metrics on port (\d+)", pod.output()), "the port is named")
    wait_for(lambda: "rank 0 counts" in pod.output(), "the rank has reported its phase")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        read(f"http://127.0.0.1:{found[1]}/readyz")
    assert refusal.value.code == 503
    assert refusal.value.read() == b"1 rank still loading TensorFlow and the run\n"


def test_sigterm_ends_the_linger_of_a_finished_pod_with_0(run: Run) -> None:
    pod = run.pod(run.rank_command(3), "--metrics-port", "0", "--linger", "1000")
    wait_for(lambda: run.events("finished") and not run.living(), "the rank has finished")
    found = wait_for(lambda: re.search(r"metrics on port (\d+)", pod.output()), "the port is named")
    wait_for(lambda: lingers(int(found[1])), "it lingers")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == 0


def is_ready(url: str) -> bool:
    try:
        return read(f"{url}/readyz") == "ok\n"
    except urllib.error.HTTPError:
        return False


def lingers(port: int) -> bool:
    try:
        read(f"http://127.0.0.1:{port}/readyz")
    except urllib.error.HTTPError as error:
        return error.code == 503 and b"the run is finished" in error.read()
    return False


def test_a_taken_metrics_port_is_said_in_one_line(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        pod = run.pod(run.rank_command(3), "--metrics-port", str(taken.getsockname()[1]))
        assert pod.wait() != 0
    assert "Address already in use. Choose a free port, or 0" in pod.output()


def test_as_process_1_it_reaps_orphans_and_obeys_sigterm(run: Run) -> None:
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getuid():
        inside.insert(1, "--map-root-user")
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no process namespaces here")
    pids = run.folder / "seen"
    code = (
        "import os, subprocess, time\n"
        "subprocess.run(['sh', '-c', 'setsid sleep 0.2 & setsid sleep 0.3 &'])\n"
        "for _ in range(200):\n"
        "    time.sleep(0.05)\n"
        "    children = open('/proc/1/task/1/children').read().split()\n"
        "    if children == [str(os.getpid())]: break\n"
        f"open({str(pids)!r}, 'w').write(' '.join(children))\n"
        "time.sleep(1000)\n"
    )
    pod = run.pod(python(code), inside=inside)
    text = wait_for(lambda: pids.exists() and pids.read_text(), "the rank looked")
    assert len(text.split()) == 1, "the orphans are not left as zombies"
    supervisor = int(Path(f"/proc/{pod.process.pid}/task/{pod.process.pid}/children").read_text().split()[0])
    os.kill(supervisor, signal.SIGTERM)
    assert pod.wait() == 75
