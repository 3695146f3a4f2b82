"""Where the listeners live: countries, their cities with position and time zone, their names."""

from typing import Final, NamedTuple


class Country(NamedTuple):
    """One country: its ISO code, its Faker locale and its share of the population."""

    code: str
    locale: str
    weight: float


class City(NamedTuple):
    """One city: degrees for the position, ``weight`` relative within its country."""

    name: str
    country: str
    lat: float
    lon: float
    time_zone: str
    weight: float


COUNTRIES: Final = (
    Country("US", "en_US", 26),
    Country("GB", "en_GB", 10),
    Country("DE", "de_DE", 10),
    Country("FR", "fr_FR", 8),
    Country("BR", "pt_BR", 10),
    Country("MX", "es_MX", 6),
    Country("ES", "es_ES", 5),
    Country("IT", "it_IT", 5),
    Country("PL", "pl_PL", 4),
    Country("SE", "sv_SE", 3),
    Country("NL", "nl_NL", 3),
    Country("IN", "en_IN", 5),
    Country("JP", "ja_JP", 4),
    Country("AU", "en_AU", 1),
)

CITIES: Final = (
    City("New York", "US", 40.713, -74.006, "America/New_York", 8),
    City("Chicago", "US", 41.878, -87.630, "America/Chicago", 4),
    City("Austin", "US", 30.267, -97.743, "America/Chicago", 3),
    City("Denver", "US", 39.739, -104.990, "America/Denver", 2),
    City("Los Angeles", "US", 34.052, -118.244, "America/Los_Angeles", 6),
    City("Seattle", "US", 47.606, -122.332, "America/Los_Angeles", 2),
    City("London", "GB", 51.507, -0.128, "Europe/London", 8),
    City("Manchester", "GB", 53.481, -2.242, "Europe/London", 3),
    City("Glasgow", "GB", 55.864, -4.252, "Europe/London", 2),
    City("Berlin", "DE", 52.520, 13.405, "Europe/Berlin", 4),
    City("Hamburg", "DE", 53.551, 9.994, "Europe/Berlin", 2),
    City("Köln", "DE", 50.938, 6.960, "Europe/Berlin", 2),
    City("München", "DE", 48.137, 11.576, "Europe/Berlin", 2),
    City("Paris", "FR", 48.857, 2.352, "Europe/Paris", 6),
    City("Lyon", "FR", 45.764, 4.836, "Europe/Paris", 2),
    City("Marseille", "FR", 43.297, 5.370, "Europe/Paris", 2),
    City("São Paulo", "BR", -23.551, -46.633, "America/Sao_Paulo", 6),
    City("Rio de Janeiro", "BR", -22.907, -43.173, "America/Sao_Paulo", 4),
    City("Recife", "BR", -8.048, -34.877, "America/Recife", 2),
    City("Ciudad de México", "MX", 19.433, -99.133, "America/Mexico_City", 6),
    City("Guadalajara", "MX", 20.660, -103.350, "America/Mexico_City", 2),
    City("Madrid", "ES", 40.417, -3.704, "Europe/Madrid", 4),
    City("Barcelona", "ES", 41.385, 2.173, "Europe/Madrid", 3),
    City("Roma", "IT", 41.903, 12.496, "Europe/Rome", 3),
    City("Milano", "IT", 45.464, 9.190, "Europe/Rome", 3),
    City("Warszawa", "PL", 52.230, 21.012, "Europe/Warsaw", 3),
    City("Kraków", "PL", 50.065, 19.945, "Europe/Warsaw", 2),
    City("Stockholm", "SE", 59.329, 18.069, "Europe/Stockholm", 3),
    City("Göteborg", "SE", 57.709, 11.975, "Europe/Stockholm", 2),
    City("Amsterdam", "NL", 52.368, 4.904, "Europe/Amsterdam", 3),
    City("Rotterdam", "NL", 51.924, 4.478, "Europe/Amsterdam", 2),
    City("Mumbai", "IN", 19.076, 72.878, "Asia/Kolkata", 4),
    City("Bengaluru", "IN", 12.972, 77.595, "Asia/Kolkata", 3),
    City("Tokyo", "JP", 35.690, 139.692, "Asia/Tokyo", 5),
    City("Osaka", "JP", 34.694, 135.502, "Asia/Tokyo", 3),
    City("Sydney", "AU", -33.869, 151.209, "Australia/Sydney", 3),
    City("Melbourne", "AU", -37.814, 144.963, "Australia/Melbourne", 3),
)


def city_shares() -> list[float]:
    """Return each city's share of the population, in the order of ``CITIES``."""
    total = sum(country.weight for country in COUNTRIES)
    national = {country.code: country.weight / total for country in COUNTRIES}
    inhabitants = {
        country.code: sum(city.weight for city in CITIES if city.country == country.code)
        for country in COUNTRIES
    }
    return [national[city.country] * city.weight / inhabitants[city.country] for city in CITIES]
