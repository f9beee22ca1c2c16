"""Finite fields of at most 64 elements as tables: docs/spec/pseudonym-drawn.md, section 3.

An element of GF(p^m) is the number whose digits to the base p are the coefficients of its polynomial,
the constant term being the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_ORDER: Final = 64


def prime_powers(n: int) -> list[tuple[int, int]]:
    """The factorisation of n as (prime, exponent), primes ascending; empty for 1."""
    found: list[tuple[int, int]] = []
    prime = 2
    while n > 1:
        exponent = 0
        while n % prime == 0:
            n, exponent = n // prime, exponent + 1
        if exponent:
            found.append((prime, exponent))
        prime += 1
    return found


def is_field_order(n: int) -> bool:
    """True for 2, 3, 4, 5, 7, 8, 9, 11 and so on: a field of n elements exists."""
    return n > 1 and len(prime_powers(n)) == 1


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """GF(q), q = p^m.

    Attributes:
        order: q.
        prime: p.
        degree: m.
        digits: uint8 (q, m), the coefficients of each element, the constant term last.
        add: uint8 (q, q).
        multiply: uint8 (q, q).
        negative: uint8 (q,), the additive inverse.
        powers: a^0 to a^(q-2) for the primitive element a: x, or for a prime q the smallest one.
    """

    order: int
    prime: int
    degree: int
    digits: NDArray[np.uint8]
    add: NDArray[np.uint8]
    multiply: NDArray[np.uint8]
    negative: NDArray[np.uint8]
    powers: tuple[int, ...]


@cache
def field(order: int) -> Field:
    """The field of `order` elements, a prime power of at most 64."""
    assert is_field_order(order)
    assert order <= MAX_ORDER
    ((prime, degree),) = prime_powers(order)
    digits = [_digits(value, prime, degree) for value in range(order)]
    add = np.array(
        [[_number([(s + t) % prime for s, t in zip(x, y, strict=True)], prime) for y in digits] for x in digits],
        np.uint8,
    )
    powers = _powers_of_x(prime, degree) if degree > 1 else _powers_of_least(prime)
    log = {element: exponent for exponent, element in enumerate(powers)}
    multiply = np.zeros((order, order), np.uint8)
    for x in range(1, order):
        for y in range(1, order):
            multiply[x, y] = powers[(log[x] + log[y]) % (order - 1)]
    return Field(
        order=order,
        prime=prime,
        degree=degree,
        digits=np.array(digits, np.uint8),
        add=add,
        multiply=multiply,
        negative=np.argmin(add, axis=1).astype(np.uint8),
        powers=powers,
    )


def _powers_of_least(prime: int) -> tuple[int, ...]:
    for candidate in range(1, prime):
        powers = tuple(pow(candidate, exponent, prime) for exponent in range(prime - 1))
        if len(set(powers)) == prime - 1:
            return powers
    raise AssertionError("every prime has a primitive root")


def _powers_of_x(prime: int, degree: int) -> tuple[int, ...]:
    """Powers of x modulo the first monic polynomial, by its number, that makes x primitive."""
    order = prime**degree
    for low in range(order):
        polynomial = _digits(low, prime, degree)
        powers, value = [], 1
        for _ in range(order - 1):
            powers.append(value)
            coefficients = _digits(value, prime, degree)
            lead, shifted = coefficients[0], [*coefficients[1:], 0]
            value = _number([(s - lead * t) % prime for s, t in zip(shifted, polynomial, strict=True)], prime)
        if value == 1 and len(set(powers)) == order - 1 and 0 not in powers:
            return tuple(powers)
    raise AssertionError("every field has a primitive polynomial")


def _digits(value: int, base: int, count: int) -> list[int]:
    digits = []
    for _ in range(count):
        value, digit = divmod(value, base)
        digits.append(digit)
    return digits[::-1]


def _number(digits: list[int], base: int) -> int:
    value = 0
    for digit in digits:
        value = value * base + digit
    return value
