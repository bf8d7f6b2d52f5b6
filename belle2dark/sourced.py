"""Numbers that know where they are from, and the strict YAML files they live in.

Every physics number of a search, a detector or a published result is a :class:`Sourced`, written in YAML as
``{value, unit, source, confidence, note}``. :func:`load_numbers` reads such a file and refuses what it does not know:
a misspelt field, an unknown confidence or a missing source is an error, not a default.

``source`` starts with a key of the file's ``references`` (``"BelleII:2022jyy: abstract"``) or with ``choice`` or
``computed``; :func:`bibtex` turns the references into BibTeX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Literal

Confidence = Literal["published", "digitised", "talk", "computed", "recalled", "choice"]
Value = float | tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """A number (or a short list of numbers) with unit, source and how far it can be trusted."""

    value: Value
    unit: str
    source: str
    confidence: Confidence
    note: str = ""

    def __float__(self) -> float:
        if isinstance(self.value, tuple):
            raise TypeError(f"{self.value} is a list of {len(self.value)} numbers, not one number")
        return self.value

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers as a tuple, also when there is only one."""
        return self.value if isinstance(self.value, tuple) else (self.value,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A paper, talk or web page that numbers are cited from."""

    key: str
    title: str
    authors: str
    year: int
    journal: str = ""
    doi: str = ""
    eprint: str = ""
    url: str = ""

    def bibtex(self) -> str:
        """The BibTeX entry, one string."""
        kind = "article" if self.journal else "misc"
        archive = "arXiv" if self.eprint else ""
        fields = {"title": "{" + self.title + "}", "author": self.authors, "year": str(self.year), "journal": self.journal,
                  "doi": self.doi, "eprint": self.eprint, "archivePrefix": archive, "url": self.url}  # fmt: skip
        body = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items() if text)
        return f"@{kind}{{{self.key},\n{body}\n}}"


@dataclass(frozen=True, slots=True)
class Numbers(Mapping[str, Sourced]):
    """The numbers of one YAML file: a read-only mapping name -> :class:`Sourced`, with the file's references.

    ``systematics`` are its systematic uncertainties as plain mappings, sizes resolved to numbers.
    """

    name: str
    entries: Mapping[str, Sourced]
    references: Mapping[str, Reference] = field(default_factory=dict)
    systematics: tuple[Mapping[str, Any], ...] = ()

    def __getitem__(self, name: str) -> Sourced:
        try:
            return self.entries[name]
        except KeyError:
            raise KeyError(f"{self.name} has no number {name!r}; nearest: {nearest(name, self.entries)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __reduce__(self) -> tuple[Any, ...]:  # mappings proxies do not pickle
        return _numbers, (self.name, dict(self.entries), dict(self.references), self.systematics)


def _numbers(
    name: str, entries: dict[str, Sourced], references: dict[str, Reference], systematics: tuple[Mapping[str, Any], ...] = ()
) -> Numbers:
    return Numbers(name, MappingProxyType(entries), MappingProxyType(references), systematics)


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name closest to ``name``, for error messages."""
    from difflib import get_close_matches

    known = [str(n) for n in names]
    close = get_close_matches(name, known, n=1, cutoff=0.0)
    return close[0] if close else "none"


def read_yaml(path: Traversable) -> Any:
    """Parse one YAML file.

    Raises ``ValueError`` for broken YAML and for a repeated key (plain YAML would keep the last one silently).
    """
    import yaml

    class Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{path}: key {sorted(map(str, twice))[0]!r} appears twice")
        return dict(zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def data_file(name: str) -> Traversable:
    """A file of the package's ``data`` folder."""
    return files("belle2dark") / "data" / name


@cache
def load_numbers(name: str) -> Numbers:
    """The numbers of ``data/<name>.yaml``.

    The file has the keys ``references`` (key -> title, authors, year, ...), ``numbers`` (name -> value, unit, source,
    confidence, note) and, for a search, ``systematics`` (list of name, size, acts_on, ...; the size names a number).
    Raises ``ValueError`` naming file, entry and field for anything else.
    """
    return parse_numbers(read_yaml(data_file(f"{name}.yaml")), name)


def parse_numbers(raw: Any, name: str) -> Numbers:
    """:class:`Numbers` from a parsed YAML document; ``name`` is used in messages. Raises ``ValueError``."""
    from belle2dark import _schema

    document = _schema.validate(_schema.NumbersIn, raw, name)
    references = _schema.references(document.references)
    entries = {}
    for key, n in document.numbers.items():
        check_source(n.source, n.confidence, references, f"{name}: numbers.{key}")
        value = tuple(n.value) if isinstance(n.value, list) else float(n.value)
        entries[key] = Sourced(value=value, unit=n.unit, source=n.source, confidence=n.confidence, note=n.note)
    systematics = []
    for entry in document.systematics:
        if entry.size not in entries:
            close = nearest(entry.size, entries)
            raise ValueError(f"{name}: systematics.{entry.name}.size: no number {entry.size!r}; nearest: {close}")
        systematics.append({**entry.model_dump(), "size": entries[entry.size].value})
    return _numbers(name, entries, references, tuple(systematics))


def check_source(source: str, confidence: str, references: Mapping[str, Reference], where: str) -> None:
    """Raise ``ValueError`` for an empty source, or one that should cite a reference of the file and does not."""
    own = confidence in ("choice", "computed", "recalled")
    if not source.strip() or not (own or find_reference(source, references)):
        raise ValueError(f"{where}.source: {source!r} does not start with one of the file's references "
                         f"({', '.join(references) or 'none given'})")  # fmt: skip


def find_reference(source: str, references: Mapping[str, Reference]) -> Reference | None:
    """The reference whose key opens ``source`` (and is not just the beginning of a longer word), if any."""
    return next((r for key, r in references.items() if source.startswith(key) and not source[len(key) :][:1].isalnum()), None)


def cited(number: Sourced, references: Mapping[str, Reference]) -> Reference | None:
    """The reference whose key opens the number's source, if any."""
    return find_reference(number.source, references)


def bibtex(references: Iterable[Reference]) -> str:
    """BibTeX of the references, each once, in order of key."""
    unique = {reference.key: reference for reference in references}
    return "\n\n".join(unique[key].bibtex() for key in sorted(unique)) + "\n"
