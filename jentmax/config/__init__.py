"""Settings: TOML files, presets and overrides -> checked settings, and back.

Nothing here imports JAX; checking a file takes a fraction of a second.
"""

from jentmax.config._load import load as load
from jentmax.config._load import loads as loads
from jentmax.config._load import parsed as parsed
from jentmax.config._load import to_toml as to_toml
from jentmax.config._presets import preset_text as preset_text
from jentmax.config._presets import presets as presets
from jentmax.config.elements import scale_to_element as scale_to_element
from jentmax.config.settings import Settings as Settings
