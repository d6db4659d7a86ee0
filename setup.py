"""The one rule pyproject.toml cannot say: the folder X installs as inhabit.X."""

from setuptools import find_packages, setup

FOLDERS = ("bridge", "worldmodel", "bindings", "demos", "commands")

setup(
    packages=[f"inhabit.{p}" for p in find_packages() if p.split(".")[0] in FOLDERS],
    package_dir={f"inhabit.{folder}": folder for folder in FOLDERS},
)
