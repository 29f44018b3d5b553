"""Write src/burnish/nn/e5_rows.txt: the Latin rows of the e5 vocabulary that English text uses.

    python scripts/e5_rows.py TOKENIZER.json FOLDER_OF_TEXT... > src/burnish/nn/e5_rows.txt

Han characters, digits, punctuation and symbols are kept by rule (burnish.nn.e5.kept_rows); only for Latin words does
one have to look, since 113,000 of the 250,002 pieces are Latin and most belong to languages other than English.
Folders are read whole: any text file, also in .gz, .xz, .zip and .tar archives; sets used to measure are left out.
"""

import base64
import gzip
import io
import lzma
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

TEXT = {".txt", ".csv", ".tsv", ".json", ".jsonl", ".yml", ".md", ".train", ".testa", ".testb", ".en", ".test", ".data"}


def texts(name: str, data: bytes) -> Iterator[str]:
    suffix = Path(name).suffix
    if suffix in (".xz", ".gz"):
        yield from texts(name[: -len(suffix)], (lzma if suffix == ".xz" else gzip).decompress(data))
    elif suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            for inner in bundle.namelist():
                yield from texts(inner, bundle.read(inner))
    elif suffix == ".tar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for info in tar:
                if info.isreg() and (stream := tar.extractfile(info)):
                    yield from texts(info.name, stream.read())
    elif suffix in TEXT:
        yield data.decode("utf-8", "replace")


def main(tokenizer_path: str, *folders: str) -> None:
    tokenizer = Tokenizer.from_file(tokenizer_path)
    counts: Counter[int] = Counter()
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if not path.is_file() or path.name == "SOURCE.txt":
                continue
            for text in texts(path.name, path.read_bytes()):
                lines = list({line[:2000] for line in text.splitlines()[:60000]})
                for encoded in tokenizer.encode_batch_fast(lines):
                    counts.update(encoded.ids)
    size = tokenizer.get_vocab_size()
    used = np.zeros(size, dtype=bool)
    for row in range(size):
        word = (tokenizer.id_to_token(row) or "").replace("▁", "")
        if word.isascii():
            used[row] = bool(word) and (counts[row] > 0 or len(word) <= 2)
        else:  # words English borrowed, where the text has them
            used[row] = counts[row] > 0 and all(
                x.isascii() or unicodedata.name(x, "").startswith("LATIN") for x in word
            )
    packed = base64.b64encode(zlib.compress(np.packbits(used).tobytes(), 9)).decode()
    print(f"# made by scripts/e5_rows.py: {used.sum()} of {size} rows, a bit each, zlib, base64")
    for start in range(0, len(packed), 118):
        print(packed[start : start + 118])


if __name__ == "__main__":
    main(*sys.argv[1:])
