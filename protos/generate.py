"""Generates the Python code of the protos: `python protos/generate.py [OUTPUT]`.

OUTPUT is the source root that gets `isocenter/v1/*_pb2*.py*` (default: services/).
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
SCRIPTS = Path(sys.executable).parent  # of the environment, which need not be on the PATH
SERVICES = PROTOS.parent / "services"


def generate(output: Path) -> None:
    """Write the generated modules below `output`; the same protos always give the same bytes."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    code: int = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={output}",
            f"--pyi_out={output}",
            f"--grpc_python_out={output}",
            f"--plugin=protoc-gen-mypy_grpc={SCRIPTS / 'protoc-gen-mypy_grpc'}",
            f"--mypy_grpc_out={output}",
            *sources,
        ]
    )
    if code:
        raise SystemExit(f"protoc failed with {code}; its messages are above")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else SERVICES)
