"""Check files as Together's client does before it uploads them.

In     files.
Out    by file, whether the check has passed.
"""

import json
import sys
from pathlib import Path

from together.lib.utils.files import check_file

if __name__ == "__main__":
    files = json.loads(sys.argv[1])
    print(json.dumps({file: check_file(Path(file))["is_check_passed"] for file in files}))
