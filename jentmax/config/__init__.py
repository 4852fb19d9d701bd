"""Settings files: TOML -> plain tree -> `jentmax.Recipe`; the only room that reads TOML.

A file mirrors the recipe: plain keys are fields of `jentmax.Recipe`, and tables are its parts. The
``kind`` of a table names a class, whose fields are the keys of the table. Reading a file does not
import JAX; making or checking a recipe does.
"""

from jentmax.config._build import complete as complete
from jentmax.config._build import descriptor_from as descriptor_from
from jentmax.config._build import recipe_from as recipe_from
from jentmax.config._commented import commented as commented
from jentmax.config._elements import scale_to_element as scale_to_element
from jentmax.config._load import RunOptions as RunOptions
from jentmax.config._load import label_of as label_of
from jentmax.config._load import load as load
from jentmax.config._load import recipe as recipe
from jentmax.config._presets import preset_text as preset_text
from jentmax.config._presets import presets as presets
from jentmax.config._toml import to_toml as to_toml
