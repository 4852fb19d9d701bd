"""Variables and flags of JAX's that a stranger's machine may have set."""

import os
import subprocess
import sys

import jax
import pytest
from cli_runs import FLAGS

from jentmax.dataset import Dataset

GENERATE = ["generate", *FLAGS, "--structures", "4", "--output", "set.h5"]


def process(*words, **environment):
    """Run a command line in a process; exit code, output and errors."""
    command = [sys.executable, "-m", "jentmax.cli", *words]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_strict_modes(good):
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        good(*GENERATE)
        good("describe set.h5 --output again.h5")


def test_a_back_end_that_does_not_start(call, monkeypatch):
    def fail():
        raise AssertionError  # as JAX does for CUDA without a GPU

    monkeypatch.setattr(jax, "local_devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    code, _, errors = call(*GENERATE)
    assert code == 2
    assert errors.startswith("error: JAX does not start: it finds no device; correct or unset")
    assert "JAX_PLATFORMS = cuda" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--xla_no_such_flag=1", "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1"),
        ("no-such-file", 'Could not open file "no-such-file" to read flags'),
    ],
)
def test_flags_that_end_a_process(call, monkeypatch, flags, told):
    monkeypatch.setenv("XLA_FLAGS", flags)
    code, _, errors = call(*GENERATE)
    assert code == 2
    assert errors.startswith(f"error: XLA_FLAGS = {flags} is not allowed: {told}")


@pytest.mark.slow  # processes
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS = cuda"),
        ("JAX_PLATFORMS", "nonsense", "Unable to initialize backend 'nonsense'"),
        ("JAX_ENABLE_X64", "nonsense", "invalid truth value 'nonsense'"),
        ("JAX_DEFAULT_MATMUL_PRECISION", "odd", "jax_default_matmul_precision"),
        ("XLA_FLAGS", "--xla_no_such_flag=1", "Unknown flag in XLA_FLAGS"),
    ],
)
def test_refused_in_clear_words(name, value, told):
    code, _, errors = process(*GENERATE, **{name: value})
    assert code == 2
    assert errors.startswith("error: ")
    assert told in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow  # processes
@pytest.mark.parametrize(
    "line",
    ["info set.h5", "info --check set.h5", "export set.h5 set.extxyz", "config show", "--help"],
)
def test_commands_that_need_no_device(good, line):
    good(*GENERATE)
    code, _, errors = process(*line.split(), JAX_PLATFORMS="cuda", XLA_FLAGS="--xla_no_such=1")
    assert (code, errors) == (0, "")


@pytest.mark.slow  # processes
@pytest.mark.parametrize(
    "environment",
    [
        {"XLA_FLAGS": "flags.txt"},
        {"JAX_DEBUG_NANS": "1"},
        {"JAX_DISABLE_JIT": "1"},
        {"JAX_TRANSFER_GUARD": "disallow"},
        {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise"},
        {"OMPI_COMM_WORLD_SIZE": "x", "SLURM_PROCID": "0", "PMI_RANK": "-1"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_the_same_set_whatever_is_set(good, environment):
    with open("flags.txt", "w") as file:
        file.write("--xla_force_host_platform_device_count=1")
    good(*GENERATE)
    code, _, errors = process(*GENERATE[:-1], "other.h5", **environment)
    assert code == 0
    assert all(line.startswith("warning: JAX_") for line in errors.splitlines())
    with Dataset("set.h5") as one, Dataset("other.h5") as other:
        assert (one.positions[:] == other.positions[:]).all()
