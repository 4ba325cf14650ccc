"""The map from folders to packages: `bench` is `throughtime`, each other folder of `FOLDERS` is `throughtime.NAME`.

Setuptools cannot express it in pyproject.toml without a list of all packages. A folder without modules, as that of a
paper's suites, is a package of data files.
"""

from setuptools import find_namespace_packages, setup

FOLDERS = (
    "algorithms",
    "datasets",
    "networks",
    "neurons",
    "numerics",
    "reports",
    "results/baselines",
    "results/published",
)
ROOTS = {"throughtime": "bench"} | {f"throughtime.{folder.split('/')[-1]}": folder for folder in FOLDERS}


def packages(root: str, folder: str) -> list[str]:
    """Return the package of a folder and those below it."""
    return [root, *(f"{root}.{name}" for name in find_namespace_packages(folder, exclude=["*__pycache__"]))]


setup(
    packages=[package for root, folder in ROOTS.items() for package in packages(root, folder)],
    package_dir=ROOTS,
    package_data={"": ["*"]},
)
