"""Recipes, and the generation of sets of structures."""

from jentmax.generation._engines import remote_chunk as remote_chunk
from jentmax.generation._fields import FitScale as FitScale
from jentmax.generation._fields import Quench as Quench
from jentmax.generation._generate import generate as generate
from jentmax.generation._processes import ALONE as ALONE
from jentmax.generation._processes import Process as Process
from jentmax.generation._processes import process_of as process_of
from jentmax.generation._processes import use_own_device as use_own_device
from jentmax.generation._progress import Progress as Progress
from jentmax.generation._recipe import Recipe as Recipe
from jentmax.generation._resolved import Resolved as Resolved
from jentmax.generation._scale import fit_scale as fit_scale
from jentmax.generation._starts import RandomStart as RandomStart
