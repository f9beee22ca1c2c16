"""Isolation: no outbound connection, no address beyond this machine without TLS, no second writer."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import launch, make_instance, ok, run_cli, run_here

# Runs the real program with an audit hook that notes every outbound connection before it is made.
SPY = """
import sys
seen = open(sys.argv[1], "a", buffering=1)
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        seen.write(f"{event} {args[1:]}\\n")
sys.addaudithook(hook)
sys.argv = ["trustcenter", "serve", sys.argv[2]]
from trustcenter.cli import main
main()
"""


def test_the_service_opens_no_outbound_connection(tmp_path: Path) -> None:
    directory, seen = tmp_path / "center", tmp_path / "seen.txt"
    make_instance(directory)
    process = subprocess.Popen(
        [sys.executable, "-c", SPY, str(seen), str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("https://")
    connect = ("--connect", directory / "operator.toml")
    for arguments in (
        ("site", "add", "north", "--kind", "diz"),
        ("site", "token", "north", "-o", tmp_path / "north.toml"),
        ("domain", "create", "north", "--site", "north"),
        ("keys", "rotate", "north", "--yes"),
        ("keys", "list"),
    ):
        ok(*arguments, *connect)
    source = tmp_path / "in.csv"
    source.write_text("pid,x\n1,a\n2,b\n")
    done = run_cli(
        "pseudonymize", source, "--column", "pid", "--domain", "north", "-o", tmp_path / "out.csv",
        "--connect", tmp_path / "north.toml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    # Resolving and binding its own loopback address is all that a listening socket needs.
    outbound = [line for line in seen.read_text().splitlines() if "127.0.0.1" not in line]
    assert outbound == []
    assert not any(line.startswith("socket.connect") for line in seen.read_text().splitlines())


def test_an_address_beyond_this_machine_needs_tls(tmp_path: Path) -> None:
    directory = tmp_path / "center"
    make_instance(directory)
    config = directory / "config.toml"
    text = config.read_text().replace('host = "127.0.0.1"', 'host = "0.0.0.0"')
    config.write_text("\n".join(line for line in text.splitlines() if not line.startswith(("certificate", "key ="))))
    config.write_text(config.read_text().replace("[server]", '[server]\ncertificate = ""\nkey = ""'))
    done = run_cli("serve", directory, timeout=30)
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "TLS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.files
def test_a_second_service_on_the_same_files_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "center"
    make_instance(directory)
    process, _ = launch(directory, tmp_path / "log")
    try:
        done = run_cli("serve", directory, timeout=30)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        healthy = run_cli("doctor", directory)
        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        assert "0 entries, 0 records" in healthy.stdout
        assert "1 entry, root as recorded" in healthy.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_unknown_keys_in_the_configuration_are_refused(tmp_path: Path) -> None:
    directory = tmp_path / "center"
    make_instance(directory)
    config = directory / "config.toml"
    original = config.read_text()
    for change in (
        "prot = 1\n",
        "workers = 'two'\n",
        'separation = "operator"\n',
        "[limits]\nbody_bytes = 'x'\n",
        "x = [",
    ):
        config.write_text(change + original if not change.startswith("[") else original + change)
        done = run_here("serve", directory)
        assert done.code == 1, change
        assert done.err.startswith("error: "), done.err
