"""Fails unless pyright finds a complete type for every public name. The command's modules are not for import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "segmind_async"
NOT_PUBLIC = (f"{PACKAGE}.cli", f"{PACKAGE}.__main__")

bin_ = Path(sys.executable).parent
found = subprocess.run(
    [
        bin_ / "pyright",
        "--pythonpath",
        sys.executable,
        "--verifytypes",
        PACKAGE,
        "--ignoreexternal",
        "--outputjson",
    ],
    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    stdout=subprocess.PIPE,
    check=False,
)
symbols = json.loads(found.stdout)["typeCompleteness"]["symbols"]
# Pyright follows what a public name refers to into private modules, and so does this.
checked = [symbol for symbol in symbols if not symbol["name"].startswith(NOT_PUBLIC)]
incomplete = [symbol for symbol in checked if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
for symbol in incomplete:
    print(symbol["name"])
    for diagnostic in symbol.get("diagnostics", []):
        where = diagnostic.get("range", {}).get("start", {}).get("line", -1) + 1
        print(f"  {diagnostic.get('file')}:{where}: {diagnostic['message']}")
print(f"{len(checked) - len(incomplete)} of {len(checked)} public names have a complete type")
sys.exit(1 if incomplete or not checked else 0)
