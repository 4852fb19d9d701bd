"""CPU cores and GPUs, memory, package versions and caches; importing it does not import JAX."""

from jentmax.devices._host import cache_folder as cache_folder
from jentmax.devices._host import cpu_hash as cpu_hash
from jentmax.devices._host import n_cores as n_cores
from jentmax.devices._host import quieten as quieten
from jentmax.devices._host import use_cache as use_cache
from jentmax.devices._memory import memory_bytes as memory_bytes
from jentmax.devices._start import import_jax as import_jax
from jentmax.devices._start import start as start
from jentmax.devices._versions import device_kind as device_kind
from jentmax.devices._versions import device_name as device_name
from jentmax.devices._versions import versions as versions
from jentmax.devices._workers import Device as Device
from jentmax.devices._workers import compiler_options as compiler_options
from jentmax.devices._workers import in_threads as in_threads
from jentmax.devices._workers import workers as workers
