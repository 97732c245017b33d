"""read_frame.py FIELD FILE.npy <STREAM: field FIELD of a stream equals an array, as read by the code in rdframe(5).

The reader is taken from the page's text, so what a reader of the page copies is what is tested.
"""
import re
import sys
from pathlib import Path

import numpy

page = (Path(__file__).parent.parent / "man" / "rdframe.5").read_text()
code = re.search(r"^\.Bd -literal.*\n(import msgpack(?:.*\n)+?)\.Ed$", page, re.M).group(1)
exec(code.replace("\\e", "\\"))

field, path = sys.argv[1:]
arrays = [array for first, name, array in frames(sys.stdin.buffer) if name == field]  # noqa: F821: from the page
if not numpy.array_equal(numpy.concatenate(arrays), numpy.load(path)):
    sys.exit(f"{field} is not what {path} holds")
