"""``python -m jentmax._meeting``: meets the other processes of a run, and prints who this one is.

A process of its own: JAX that has joined others compiles other programs, which no single process
finds in its cache, and ends when one of them does.
"""

import sys

import jax


def main(coordinator: str, processes: str, process_id: str, seconds: str) -> None:
    """Meet at a coordinator; empty words leave it to JAX to find out."""
    jax.config.update("jax_platforms", "cpu")
    jax.distributed.initialize(
        coordinator or None,
        int(processes) if processes else None,
        int(process_id) if process_id else None,
        initialization_timeout=int(seconds),
    )
    print(jax.process_index(), jax.process_count(), flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
