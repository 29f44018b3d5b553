"""datatrove's side of benchmarks/quality.py, run by the interpreter of an environment that has it.

    python benchmarks/quality_datatrove.py near IN.jsonl WORK LANGUAGE    writes WORK/kept.json: ids that stay
    python benchmarks/quality_datatrove.py clean IN.jsonl WORK LANGUAGE   the same, after its filters

Its own defaults: 5-grams of words, 14 bands of 8 for near-duplicates; language, Gopher's quality and repetition, C4's and
FineWeb's filters for cleaning (its language filter downloads a model and is left out).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    what, source, work, language = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    def run(*steps: object) -> None:
        LocalPipelineExecutor(pipeline=list(steps), tasks=1, workers=1, logging_dir=None).run()

    read = JsonlReader(str(source.parent), glob_pattern=source.name)
    write = JsonlWriter(str(work / "out"), compression=None)
    if what == "near":
        from datatrove.pipeline.dedup import (
            MinhashDedupBuckets,
            MinhashDedupCluster,
            MinhashDedupFilter,
            MinhashDedupSignature,
        )
        from datatrove.pipeline.dedup.minhash import MinhashConfig

        config = MinhashConfig()
        run(read, MinhashDedupSignature(str(work / "signatures"), config=config, language=language))
        for bucket in range(config.num_buckets):
            steps = MinhashDedupBuckets(str(work / "signatures"), str(work / "buckets"), config=config)
            steps.run(rank=bucket, world_size=config.num_buckets)
        run(MinhashDedupCluster(str(work / "buckets"), str(work / "remove"), config=config))
        run(read, MinhashDedupFilter(str(work / "remove")), write)
    else:
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )

        run(
            read, GopherRepetitionFilter(language=language), GopherQualityFilter(language=language),
            C4QualityFilter(filter_no_terminal_punct=False, language=language), FineWebQualityFilter(language=language), write,
        )  # fmt: skip
    kept = [json.loads(line)["id"] for file in (work / "out").glob("*") for line in file.open(encoding="utf-8")]
    (work / "kept.json").write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
