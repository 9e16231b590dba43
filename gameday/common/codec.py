"""Typed values to JSON and back, with paths among them."""

from pathlib import Path

import msgspec


def _encode_other(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


def _decode_other(kind: type, value: object) -> object:
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{kind.__name__} cannot be read from JSON")


def encode(value: object) -> bytes:
    """JSON. Raises NotImplementedError, TypeError or ValueError for what JSON cannot say."""
    return msgspec.json.encode(value, enc_hook=_encode_other)


def decode[T](data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """A value of that type. Raises msgspec.DecodeError, and nothing else whatever the data are."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_decode_other)
    except (UnicodeDecodeError, RecursionError) as error:  # what msgspec lets through: no UTF-8, nested too deeply
        raise msgspec.DecodeError(str(error)) from error
