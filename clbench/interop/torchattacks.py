"""torchattacks, imported where it is used."""

from types import ModuleType

from clbench.schema.errors import InstallationError


def torchattacks_package() -> ModuleType:
    """Return the package.

    Raises:
        InstallationError: It is not installed, or cannot be imported.
    """
    try:
        import torchattacks
    except ImportError as error:
        raise InstallationError(
            f"attacks 'torchattacks:...' need torchattacks ({error}); pip install torchattacks"
        ) from error
    package: ModuleType = torchattacks
    return package
