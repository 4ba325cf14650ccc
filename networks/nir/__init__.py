"""Exchange of networks with other libraries in the Neuromorphic Intermediate Representation (NIR)."""

from throughtime.networks.nir.package import Scheme, imported
from throughtime.networks.nir.reading import NIRNetwork, from_nir
from throughtime.networks.nir.writing import to_nir

__all__ = ["NIRNetwork", "Scheme", "from_nir", "imported", "to_nir"]
