"""Classes and functions of the user's own, named in the settings as ``module:name``."""

from jentmax.own._adapted import OwnDescriptor as OwnDescriptor
from jentmax.own._adapted import OwnFunction as OwnFunction
from jentmax.own._trial import own_descriptor as own_descriptor
from jentmax.own._trial import own_estimator as own_estimator
from jentmax.own._trial import own_repulsion as own_repulsion
