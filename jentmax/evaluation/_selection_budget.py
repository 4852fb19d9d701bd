"""What a selection may cost, in structures, atoms or a power of atoms."""

from __future__ import annotations

import dataclasses

import numpy as np

from jentmax.errors import JentmaxError

COST_EXPONENT = 3.0
"""Of plane-wave calculations, whose time grows as the cube of the atoms."""

_HIGHEST_EXPONENT = 10.0


@dataclasses.dataclass(frozen=True)
class Budget:
    """An amount, and the unit it is in.

    Attributes:
        option: "structures", "atoms" or "cost".
        text: the amount as the user gave it: a number, or a percentage of all candidates.
        amount: the number, or the fraction.
        is_fraction: whether the amount is a fraction of all candidates.
        exponent: p of the cost N^p of a structure of N atoms.
    """

    option: str
    text: str
    amount: float
    is_fraction: bool
    exponent: float

    @property
    def of_random(self) -> float:
        """Exponent of the cost at which random structures are drawn.

        Equal numbers of structures would favour methods that take large ones.
        """
        return self.exponent if self.option == "cost" else 1.0

    def costs(self, sizes: np.ndarray) -> np.ndarray:
        """Cost of each structure in the budget's unit.

        Args:
            sizes: numbers of atoms, shape (n,).
        """
        exponents = {"structures": 0.0, "atoms": 1.0, "cost": self.exponent}
        return sizes.astype(float) ** exponents[self.option]

    def limit(self, costs: np.ndarray, path: str, advice: str = "") -> float:
        """The budget as a number.

        Args:
            costs: as `costs` returns them, of all candidates.
            path: of the candidates, for messages.
            advice: what else to do if there are too few candidates, for messages.

        Raises:
            JentmaxError: less than the cheapest candidate costs, or more than all.
        """
        total, least = costs.sum(), costs.min()
        limit = self.amount * total if self.is_fraction else self.amount
        if limit > total:
            whole = {
                "structures": f"{total:.0f}",
                "atoms": f"{total:.0f} atoms",
                "cost": f"a cost of {total:g} (N^{self.exponent:g})",
            }
            raise JentmaxError(
                f"--{self.option} {self.text}: {path} has {whole[self.option]}{advice}"
            )
        if limit < least:
            share = f" is {limit:.3g};" if self.is_fraction else ""
            what = "one structure" if self.option == "structures" else "the smallest structure"
            raise JentmaxError(
                f"--{self.option} {self.text}:{share} {what} of {path} costs {least:g}; "
                f"give at least {least:g}"
            )
        return limit


def budget(
    structures: int | str | None,
    atoms: int | str | None,
    cost: float | str | None,
    exponent: float | None,
) -> Budget:
    """The one budget that is given.

    Args:
        structures: number of structures, or a percentage of the candidates such as "5%".
        atoms: number of atoms, or a percentage.
        cost: sum of N^exponent over structures of N atoms, or a percentage.
        exponent: of the cost; by default 3.

    Raises:
        JentmaxError: none or several, a number or an exponent out of range.
    """
    options = {"structures": structures, "atoms": atoms, "cost": cost}
    given = {option: value for option, value in options.items() if value is not None}
    if len(given) != 1:
        found = " and ".join(f"--{option}" for option in given) or "none"
        raise JentmaxError(
            f"budget: {found} given; give one of --structures, --atoms and --cost, "
            "such as --atoms 5000 or --atoms 10%"
        )
    if exponent is not None and not 0 <= exponent <= _HIGHEST_EXPONENT:
        raise JentmaxError(
            f"--cost-exponent {exponent:g}: must be between 0 and {_HIGHEST_EXPONENT:g}, such as 3"
        )
    ((option, value),) = given.items()
    text = str(value).strip()
    is_fraction = text.endswith("%")
    try:
        amount = float(text.removesuffix("%"))
    except ValueError:
        amount = np.nan
    if is_fraction:
        amount /= 100
        if not 0 < amount <= 1:
            raise JentmaxError(f"--{option} {text}: must be above 0% and at most 100%")
    elif option == "cost":
        if not 0 < amount < np.inf:
            raise JentmaxError(
                f"--cost {text}: must be a positive number, or a percentage such as 10%"
            )
    elif not amount >= 1 or amount % 1:
        raise JentmaxError(
            f"--{option} {text}: must be at least 1, a whole number, or a percentage such as 10%"
        )
    return Budget(
        option, text, amount, is_fraction, COST_EXPONENT if exponent is None else exponent
    )
