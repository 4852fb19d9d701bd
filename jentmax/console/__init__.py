"""What commands print: progress, summaries, tables."""

from jentmax.console._check import print_checks as print_checks
from jentmax.console._info import print_info as print_info
from jentmax.console._log import RunLog as RunLog
from jentmax.console._phases import Phases as Phases
from jentmax.console._run import Console as Console
from jentmax.console._selection import print_selection as print_selection
from jentmax.console._share import print_share as print_share
from jentmax.console._tables import print_tables as print_tables
