"""The population: people with names, cities and devices, who register over time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from faker import Faker

from producer.arrays import Codes, Doubles, Ints
from producer.places import CITIES, COUNTRIES, city_shares
from producer.randomness import named_rng

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
DEVICES: Final = ("phone", "desktop", "tablet", "speaker", "tv", "car")
_DEVICE_SHARES: Final = (0.55, 0.22, 0.07, 0.08, 0.04, 0.04)
GENDERS: Final = ("F", "M", "X")
_GENDER_SHARES: Final = (0.485, 0.485, 0.03)
PAID_SHARE: Final = 2 / 12
_NAMES_A_POOL: Final = 150
_ACTIVITY_SPREAD: Final = 1.2
_MOST_SESSIONS_A_WEEK: Final = 21.0
_DAILY_GROWTH: Final = 0.003


@dataclass(slots=True)
class Population:
    """Listeners by index. ``sessions_a_week`` is the mean of each; ``delay_ms`` is the time from
    an event on the device to its hand-over; ``levels`` index ``encore.events.LEVELS``.
    """

    names: list[str]
    cities: Ints
    genders: Ints
    birth_years: Ints
    devices: Ints
    levels: Codes
    registered: Ints
    sessions_a_week: Doubles
    delay_ms: Ints

    def __len__(self) -> int:
        return len(self.names)

    def joined(self, other: "Population") -> "Population":
        """Return these listeners followed by others."""
        return Population(
            self.names + other.names,
            np.concatenate([self.cities, other.cities]),
            np.concatenate([self.genders, other.genders]),
            np.concatenate([self.birth_years, other.birth_years]),
            np.concatenate([self.devices, other.devices]),
            np.concatenate([self.levels, other.levels]),
            np.concatenate([self.registered, other.registered]),
            np.concatenate([self.sessions_a_week, other.sessions_a_week]),
            np.concatenate([self.delay_ms, other.delay_ms]),
        )


class NamePools:
    """First and last names of every country, made once by Faker, drawn from ever after."""

    def __init__(self, seed: int) -> None:
        self._pools = [_pool(country.locale, seed) for country in COUNTRIES]
        codes = [country.code for country in COUNTRIES]
        self._country_of = [codes.index(city.country) for city in CITIES]

    def draw(self, rng: np.random.Generator, cities: Ints, genders: Ints) -> list[str]:
        """Return a full name for each listener, in the order of their country."""
        first = rng.integers(0, _NAMES_A_POOL, len(cities)).tolist()
        last = rng.integers(0, _NAMES_A_POOL, len(cities)).tolist()
        return [
            self._name(city, gender, one, other)
            for city, gender, one, other in zip(
                cities.tolist(), genders.tolist(), first, last, strict=True
            )
        ]

    def _name(self, city: int, gender: int, first: int, last: int) -> str:
        country = self._country_of[city]
        women, men, families = self._pools[country]
        given = (women, men, women if first % 2 else men)[gender][first]
        if COUNTRIES[country].code == "JP":
            return f"{families[last]} {given}"
        return f"{given} {families[last]}"


def _pool(locale: str, seed: int) -> tuple[list[str], list[str], list[str]]:
    faker = Faker(locale)
    faker.seed_instance(f"{seed}-{locale}")
    return (
        [faker.first_name_female() for _ in range(_NAMES_A_POOL)],
        [faker.first_name_male() for _ in range(_NAMES_A_POOL)],
        [faker.last_name() for _ in range(_NAMES_A_POOL)],
    )


def make_population(
    seed: int, pools: NamePools, users: int, until_ms: int, history_ms: int
) -> Population:
    """Make ``users`` listeners, of whom 0.3 % a day register within the history."""
    rng = named_rng(seed, "population")
    fresh = min(users // 4, round(users * _DAILY_GROWTH * history_ms / DAY_MS))
    old = until_ms - history_ms - rng.exponential(400, users - fresh) % 2_500 * DAY_MS - 1
    new = np.sort(until_ms - rng.uniform(0, max(history_ms, 1), fresh))
    return _people(rng, pools, np.concatenate([old, new]).astype(np.int64))


def make_newcomers(
    seed: int, pools: NamePools, first: int, count: int, registered_ms: int
) -> Population:
    """Make the listeners with indices from ``first`` on, who register now."""
    rng = named_rng(seed, "newcomers", first)
    return _people(rng, pools, np.full(count, registered_ms, dtype=np.int64))


def _people(rng: np.random.Generator, pools: NamePools, registered: Ints) -> Population:
    count = len(registered)
    shares = city_shares()
    cities = rng.choice(len(CITIES), count, p=shares).astype(np.int64)
    genders = rng.choice(len(GENDERS), count, p=_GENDER_SHARES).astype(np.int64)
    ages = np.clip(rng.gamma(5.0, 3.6, count) + 14, 14, 88)
    year = datetime.fromtimestamp(int(registered.max(initial=0)) / 1000, UTC).year
    # Log-normal with mean 1: a week apart on average, for many far more, for some a day.
    activity = np.exp(rng.normal(-(_ACTIVITY_SPREAD**2) / 2, _ACTIVITY_SPREAD, count))
    return Population(
        names=pools.draw(rng, cities, genders),
        cities=cities,
        genders=genders,
        birth_years=(year - ages).astype(np.int64),
        devices=rng.choice(len(DEVICES), count, p=_DEVICE_SHARES).astype(np.int64),
        levels=(rng.random(count) < PAID_SHARE).astype(np.uint8),
        registered=registered,
        sessions_a_week=np.minimum(activity, _MOST_SESSIONS_A_WEEK),
        delay_ms=rng.integers(15, 120, count),
    )
