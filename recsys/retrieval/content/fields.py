"""What the catalog says of an item, as features: Spark expressions without a look at any other item.

Each part of an item's vector (the category, the words of the title, ...) is read on its own. Values are told apart by
hashes of 31 bits; words and n-grams are first dealt to buckets, each with a sign of its own, so that those that share a
bucket cancel out on average (Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data.sql import quote

_IDS = (1 << 31) - 1
_SIGN_BIT = 40
_BANDS = 2.0
"""Bands of prices per doubling of the price."""
_DEAREST = 1e15
_ENTRY = "array<struct<f:int,v:float>>"

Read = Callable[[Column, str], Column]
"""Makes entries (`_ENTRY`) of a column and the name of the part."""


@dataclass(frozen=True)
class Part:
    """A part of the vector of an item.

    Attributes
    ----------
    name : str
        What it is: a column of the catalog, or an attribute, and how it is read.
    source : str
        The column or `attributes.<key>`.
    weight : float
        How much the cosine of this part counts in the similarity of two items.
    read : callable
        Makes its features.
    idf : bool
        Whether a feature counts less, the more items have it.
    common : bool
        Whether features that very many items have are kept: words and n-grams are not.
    """

    name: str
    source: str
    weight: float
    read: Read
    idf: bool = True
    common: bool = True


def column_parts(*, category: float, brand: float, price: float) -> list[Part]:
    """Make the parts of the columns that hold one value."""
    return [
        Part("category", "category", category, levels),
        Part("brand", "brand", brand, single, idf=False),
        Part("price", "price", price, bands, idf=False),
    ]


def text_parts(source: str, weight: float, *, ngram: int, width: int) -> list[Part]:
    """Make the parts of a text: its words, and its n-grams of characters unless `ngram` is 0; half the weight each."""
    share = weight / 2 if ngram else weight
    words = Part(f"words of {source}", source, share, _hashed(words_of, width), common=False)
    grams = Part(f"n-grams of {source}", source, share, _hashed(_grams(ngram), width), common=False)
    return [words, grams] if ngram else [words]


def attribute_parts(tags: dict[str, float], vectors: dict[str, float]) -> list[Part]:
    """Make the parts of attributes with several values, and of supplied embeddings."""
    return [
        *(Part(f"tags {key}", f"attributes.{key}", weight, several) for key, weight in sorted(tags.items())),
        *(
            Part(f"vector {key}", f"attributes.{key}", weight, numbers, idf=False)
            for key, weight in sorted(vectors.items())
        ),
    ]


def featured(items: DataFrame, parts: Sequence[Part]) -> DataFrame:
    """Return the items with their features.

    Parameters
    ----------
    items : DataFrame
        `item_id` (unique), `available`, and the columns that the parts read; one that is missing counts as null.

    Returns
    -------
    DataFrame
        `item_id, key, available, category, brand, lengths, features, values`: `key` is a hash of the id; features and
        values stand part after part, and `lengths` says how many each part has.
    """
    read = [F.coalesce(part.read(_source(items, part.source), part.name), F.lit(None).cast(_ENTRY)) for part in parts]
    whole = items.select("item_id", "available", *_named(items), F.array(*read).alias("parts"))
    none = F.array().cast(_ENTRY)
    entries = F.flatten(F.transform("parts", lambda part: F.coalesce(part, none)))
    return whole.select(
        "item_id",
        F.xxhash64("item_id").alias("key"),
        "available",
        "category",
        "brand",
        F.transform("parts", lambda part: F.coalesce(F.size(F.coalesce(part, none)), F.lit(0))).alias("lengths"),
        F.transform(entries, lambda entry: entry["f"]).alias("features"),
        F.transform(entries, lambda entry: entry["v"]).alias("values"),
    )


def said(items: DataFrame, sources: Sequence[str]) -> list[Column]:
    """How many items say something in each of some columns and attributes: expressions for one aggregate."""
    return [F.count(F.nullif(F.trim(_source(items, source).cast("string")), F.lit(""))) for source in sources]


def levels(text: Column, part: str) -> Column:
    """`a / b / c` as `a`, `a/b` and `a/b/c`: items of neighboring categories share the upper levels."""
    names = _filled(F.split(F.lower(text), "/"))
    upto = F.transform(F.sequence(F.lit(1), F.greatest(F.size(names), F.lit(1))), lambda n: F.slice(names, 1, n))
    paths = F.transform(upto, lambda path: F.array_join(path, "/"))
    return _entries(F.filter(paths, lambda path: path != ""), part)


def single(text: Column, part: str) -> Column:
    """One value."""
    return _entries(_filled(F.array(F.lower(text))), part)


def several(text: Column, part: str) -> Column:
    """Values between `|`, `;` or `,`; each counts once."""
    return _entries(F.array_distinct(_filled(F.split(F.lower(text), r"[|;,]"))), part)


def words_of(text: Column) -> Column:
    """The words of a text: runs of letters and digits in lower case."""
    return F.filter(F.split(F.lower(text), r"[^\p{L}\p{N}]+"), lambda word: word != "")


def bands(price: Column, part: str) -> Column:
    """A price between two bands of the logarithm, in each by its nearness; half a band apart is half alike."""
    amount = price.cast("double")
    place = F.log2(F.when((amount > 0) & (amount < _DEAREST), amount)) * F.lit(_BANDS)
    low = F.floor(place)
    near = (place - low).cast("float")
    found = F.array(
        F.struct(_id(part, low.cast("string")).alias("f"), (F.lit(1.0) - near).cast("float").alias("v")),
        F.struct(_id(part, (low + 1).cast("string")).alias("f"), near.alias("v")),
    )
    return F.when(place.isNotNull(), found).cast(_ENTRY)


def numbers(text: Column, part: str) -> Column:
    """A vector of numbers, between brackets or not, with commas, semicolons, `|` or blanks between them."""
    values = _filled(F.split(F.regexp_replace(text, r"[\[\]()]", " "), r"[|;,\s]+"))

    def entry(value: Column, place: Column) -> Column:
        # `try_cast` came with Spark 4.0; before it, a cast of what is no number gave null.
        number = value.try_cast("float") if hasattr(Column, "try_cast") else value.cast("float")
        return F.struct(
            _id(part, place.cast("string")).alias("f"), F.coalesce(number, F.lit(0.0)).cast("float").alias("v")
        )

    return F.transform(values, entry).cast(_ENTRY)


def _grams(n: int) -> Callable[[Column], Column]:
    def grams(text: Column) -> Column:
        padded = F.concat(F.lit(" "), F.array_join(words_of(text), " "), F.lit(" "))
        last = F.greatest(F.length(padded) - n + 1, F.lit(1))
        found = F.transform(F.sequence(F.lit(1), last), lambda at: F.substr(padded, at, F.lit(n)))
        return F.filter(found, lambda gram: F.length(gram) == n)

    return grams


def _hashed(tokens: Callable[[Column], Column], width: int) -> Read:
    def read(text: Column, part: str) -> Column:
        def entry(token: Column) -> Column:
            hashed = F.xxhash64(F.lit(part), token)
            sign = F.when(F.shiftright(hashed, _SIGN_BIT).bitwiseAND(F.lit(1)) == 1, F.lit(1.0)).otherwise(F.lit(-1.0))
            bucket = F.pmod(hashed, F.lit(width)).cast("string")
            return F.struct(_id(part, bucket).alias("f"), sign.cast("float").alias("v"))

        return F.transform(tokens(text), entry).cast(_ENTRY)

    return read


def _entries(values: Column, part: str) -> Column:
    one = F.lit(1.0).cast("float").alias("v")
    return F.transform(values, lambda value: F.struct(_id(part, value).alias("f"), one)).cast(_ENTRY)


def _id(part: str, value: Column) -> Column:
    return F.pmod(F.xxhash64(F.lit(part), value), F.lit(_IDS)).cast("int")


def _filled(values: Column) -> Column:
    trimmed = F.transform(values, lambda value: F.trim(value))
    return F.filter(trimmed, lambda value: value.isNotNull() & (value != ""))


def _source(items: DataFrame, source: str) -> Column:
    name, _, key = source.partition(".")
    if name not in items.columns:
        return F.lit(None).cast("string")
    return F.col(quote(name)) if not key else F.col(quote(name))[key]


def _named(items: DataFrame) -> list[Column]:
    """Category and brand as they are, for reasons."""
    return [F.nullif(F.trim(_source(items, name)), F.lit("")).alias(name) for name in ("category", "brand")]
