"""The structures of a file to take first: orders from plain arrays, and the choice from a file."""

from jentmax.selection._orders import coverage as coverage
from jentmax.selection._orders import farthest_point as farthest_point
from jentmax.selection._orders import most_informative as most_informative
from jentmax.selection._orders import nearest_distances as nearest_distances
from jentmax.selection._orders import random_order as random_order
from jentmax.selection._select import Selection as Selection
from jentmax.selection._select import select as select
