"""The kinds of the section [entropy]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from jentmax.config._field_types import Above0, Allowed, Count, Positive
from jentmax.config._section import OWN, OwnCode, Section, kind_or

Floor = Annotated[
    Positive,
    Field(description="least distance between environments, in units of the scaled features"),
]


class NearestNeighborEntropy(Section):
    """Eq. 2 of doi:10.1063/5.0013059."""

    kind: Literal["nearest-neighbor"] = Field(default="nearest-neighbor", description="estimator")
    floor: Floor = 1e-4


class KthNearestNeighborEntropy(Section):
    """The estimate of Kozachenko and Leonenko."""

    kind: Literal["kth-nearest-neighbor"] = Field(
        default="kth-nearest-neighbor", description="estimator"
    )
    k: Count = Field(default=4, description="which neighbour")
    floor: Floor = 1e-4


class SoftNearestNeighborEntropy(Section):
    """Eq. 2 with a smooth minimum."""

    kind: Literal["soft-nearest-neighbor"] = Field(
        default="soft-nearest-neighbor", description="estimator"
    )
    width: Positive = Field(default=0.1, description="of the smooth minimum, in ln distance")
    floor: Floor = 1e-4


class KernelDensityEntropy(Section):
    """The entropy of a Gaussian kernel density."""

    kind: Literal["kernel-density"] = Field(default="kernel-density", description="estimator")
    bandwidth: Annotated[
        Above0 | Literal["silverman", "adaptive"],
        Allowed('a number above 0, "silverman" or "adaptive"'),
    ] = Field(default="silverman", description="in units of the scaled features, or a rule")
    convention: Annotated[Literal["density", "quests"], Allowed('"density" or "quests"')] = Field(
        default="density", description="differential entropy, or QUESTS' from 0 to ln n"
    )
    floor: Annotated[Positive, Field(description="added in quadrature to a rule's spread")] = 1e-4


class GaussianEntropy(Section):
    """The entropy of a normal distribution with the environments' covariance."""

    kind: Literal["gaussian"] = Field(default="gaussian", description="estimator")
    ridge: Positive = Field(
        default=1e-6, description="added to variances, in units of the scaled features squared"
    )


class VendiEntropy(Section):
    """The logarithm of the Vendi score."""

    kind: Literal["vendi"] = Field(default="vendi", description="estimator")
    order: Positive = Field(default=1.0, description="of the Rényi entropy; 2 is the fastest")
    bandwidth: Positive = Field(default=1.0, description="in units of the scaled features")


ESTIMATORS: dict[str, type[Section]] = {
    "nearest-neighbor": NearestNeighborEntropy,
    "kth-nearest-neighbor": KthNearestNeighborEntropy,
    "soft-nearest-neighbor": SoftNearestNeighborEntropy,
    "kernel-density": KernelDensityEntropy,
    "gaussian": GaussianEntropy,
    "vendi": VendiEntropy,
    OWN: OwnCode,
}

Entropy = Annotated[
    Annotated[NearestNeighborEntropy, Tag("nearest-neighbor")]
    | Annotated[KthNearestNeighborEntropy, Tag("kth-nearest-neighbor")]
    | Annotated[SoftNearestNeighborEntropy, Tag("soft-nearest-neighbor")]
    | Annotated[KernelDensityEntropy, Tag("kernel-density")]
    | Annotated[GaussianEntropy, Tag("gaussian")]
    | Annotated[VendiEntropy, Tag("vendi")]
    | Annotated[OwnCode, Tag(OWN)],
    Discriminator(kind_or("nearest-neighbor")),
]
