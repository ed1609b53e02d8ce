"""Expand a file: metadata, alpha and provenance travel along.

python examples/expand_a_file.py PLATE RESULT.exr
"""

import sys

from expandnet_ofx import ExpandNetError
from expandnet_ofx.convert import expand_file

try:
    report = expand_file(sys.argv[1], sys.argv[2])
except IndexError:
    sys.exit(__doc__)
except ExpandNetError as error:
    sys.exit(str(error))
print(f"{report.output}: {100 * report.clipped_share:.1f} % clipped, {report.stops_gained:.1f} stops gained")
