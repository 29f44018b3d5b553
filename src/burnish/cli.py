"""The command line. Every command is one call of one public function with the same name and the same words.

stdout is the result, stderr the story. Exit codes: 0 done; 1 failed (the message says the next step); 2 wrong usage or
spec; 3 a gate did not hold. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="burnish",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""From a pile of raw text to a fine-tuned model you can trust, with one file.

    \b
    The path, in order:
      burnish init raw/*.jsonl      look at your data, write a commented burnish.yaml
      burnish check                 every mistake of the file at once, with its line
      burnish plan                  what would run, and what it would cost
      burnish run                   sources > construct > quality > split > train > compress > evaluate
      burnish predict runs/NAME -i new.jsonl -o out.jsonl
      burnish serve runs/NAME       http://127.0.0.1:8080 with a page to try it

    \b
    When something is unclear:
      burnish why                   what would run again, and because of which change
      burnish lineage ID            where a record came from, who labelled it, what it taught
      burnish stages construct      what a section of the file can hold
      burnish doctor                what is installed, which weights can be had""",
)

SpecFile = Annotated[Path, typer.Argument(help="The spec.", show_default=True)]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="room.stage.key=value, over what the file says. Repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Seed = Annotated[int | None, typer.Option(help="Over the spec's seed.")]
Limit = Annotated[int | None, typer.Option(help="At most this many records of every source: a quick try.")]
To = Annotated[str | None, typer.Option(metavar="ROOM", help="Stop after this room.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="The folder of runs.")]
DEFAULT_SPEC = Path("burnish.yaml")


def _print(value: Any) -> None:
    print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str))


def _short(path: Path) -> Path:
    """As a person standing here would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@app.command()
def init(
    data: Annotated[Path | None, typer.Argument(help="Your raw text: a file, a folder or a glob in quotes.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the spec.")] = DEFAULT_SPEC,
    task: Annotated[
        str | None, typer.Option(help="The task, where the fields do not tell it: tagging, chat, ...")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Labels, separated by commas.")] = None,
    text: Annotated[str | None, typer.Option(help="The field that holds the text.")] = None,
    gold: Annotated[Path | None, typer.Option(help="A file of a few checked records.")] = None,
    languages: Annotated[str | None, typer.Option(help="Codes like en,zh.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take every guess.")] = False,
) -> None:
    """Write a commented spec for your data, guessing task, fields, language and labels."""
    from burnish.start import ask_and_write

    _print(
        ask_and_write(
            data,
            out,
            task=task,
            labels=[one.strip() for one in labels.split(",")] if labels else None,
            text=text,
            gold=gold,
            languages=[one.strip() for one in languages.split(",")] if languages else None,
            name=name,
            ask=not yes and sys.stdin.isatty(),
        )
    )


@app.command()
def check(spec: SpecFile = DEFAULT_SPEC, sets: Sets = None) -> None:
    """Say every mistake of a spec at once, with its line and what would do."""
    from burnish.core.spec import load

    loaded = load(spec, overrides=sets or ())
    _print(f"{spec} is well formed: {len(loaded.steps)} steps, task {loaded.task.type}, run folder {loaded.run_path}")


@app.command()
def fill(spec: SpecFile = DEFAULT_SPEC, sets: Sets = None) -> None:
    """Print the spec with every default written out."""
    from burnish.core.spec import dump, load
    from burnish.core.spec import fill as filled

    print(dump(filled(load(spec, overrides=sets or ()))), end="")


@app.command()
def plan(
    spec: SpecFile = DEFAULT_SPEC,
    sets: Sets = None,
    to: To = None,
    seed: Seed = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Say what would run and what it would cost: records, tokens, minutes. Runs nothing."""
    from burnish.core.spec import load
    from burnish.costs import estimate, table

    costs = estimate(load(spec, overrides=sets or (), seed=seed, limit=limit), to=to)
    _print([vars(cost) for cost in costs] if as_json else table(costs))


@app.command()
def run(
    spec: SpecFile = DEFAULT_SPEC,
    to: To = None,
    again_from: Annotated[
        str | None, typer.Option("--from", metavar="ROOM", help="Make this room and all behind it again.")
    ] = None,
    sets: Sets = None,
    engine: Annotated[str | None, typer.Option(help="Over the spec's engine: local, torchrun, ray.")] = None,
    seed: Seed = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Make what is not made yet. Killed half way, the same command goes on from there."""
    from burnish import card, data_card
    from burnish.core.engine import follows
    from burnish.core.pipeline import read_run
    from burnish.core.pipeline import run as walk
    from burnish.core.progress import for_stderr
    from burnish.core.spec import load
    from burnish.report import summary, write

    overrides = [*(sets or ()), *([f"engine.use={engine}"] if engine else [])]
    loaded = load(spec, overrides=overrides, seed=seed, limit=limit)
    if follows(loaded.engine):  # beside a process that leads, which tells the story
        walk(loaded)
        return
    try:
        walk(loaded, to=to, again_from=again_from, progress=for_stderr())
    finally:
        if (loaded.run_path / "run.json").exists():
            data_card.write(loaded.run_path)
            write(loaded.run_path)
            card.write(loaded.run_path)
    folder = _short(loaded.run_path)
    finished = read_run(folder)
    if not as_json and all(step["status"] == "kept" for step in finished["steps"]):
        _print("nothing to do: every step is made and nothing it depends on changed\n")
    _print(finished if as_json else summary(folder))


@app.command()
def propose(
    spec: SpecFile = DEFAULT_SPEC,
    per_label: Annotated[int, typer.Option(help="At most this many words a label.")] = 8,
    accept: Annotated[
        str | None, typer.Option(metavar="1,3-5", help="Write these of the list into the spec; `all` takes every one.")
    ] = None,
    sets: Sets = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Look for rules that the gold records suggest: words with how often they would be right, for you to accept."""
    from burnish import propose as door
    from burnish.core.progress import for_stderr
    from burnish.core.spec import load

    found = door.proposals(load(spec, overrides=sets or (), limit=limit), per_label=per_label, progress=for_stderr())
    _print([one.plain() for one in found] if as_json else door.table(found))
    if accept and found:
        written = door.add(spec, door.steps(door.chosen(found, accept)))
        print(f"written into {spec}:\n{written}", file=sys.stderr)
    elif found and not as_json:
        print("\naccept with: burnish propose --accept 1,3-5   (or all)", file=sys.stderr)


@app.command()
def reveal(
    run: Annotated[Path, typer.Argument(help="A run folder that redacted with pseudonyms, or its pseudonyms.enc.")],
    key_env: Annotated[str, typer.Option("--key-env", metavar="NAME", help="Environment variable that holds the key.")],
    input: Annotated[
        Path | None, typer.Option("-i", "--input", help="JSONL or text to turn back; the run's records without it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A file; stdout without it.")] = None,
) -> None:
    """Turn pseudonyms back into the values they stand for, for whoever holds the key."""
    from burnish.reveal import reveal as turn_back

    count = turn_back(run, key_env=key_env, input=input, out=out)
    print(f"{count:,} lines turned back", file=sys.stderr)


@app.command()
def why(spec: SpecFile = DEFAULT_SPEC, sets: Sets = None, as_json: Json = False) -> None:
    """Say for every step why it is kept, or what changed so that it would be made again."""
    from burnish.core.pipeline import why as reasons
    from burnish.core.spec import load

    found = reasons(load(spec, overrides=sets or ()))
    if as_json:
        _print([vars(reason) for reason in found])
    for reason in () if as_json else found:
        _print(f"{'keep' if reason.kept else 'make'}  {reason.address:<26} {'; '.join(reason.because)}")


@app.command()
def stages(
    which: Annotated[str | None, typer.Argument(metavar="[ROOM[.STAGE]]", help="A room, or one stage in full.")] = None,
    as_json: Json = False,
) -> None:
    """List the stages that a spec can use, or show one with its settings."""
    from burnish.reference import describe

    _print(describe(which, as_json=as_json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors: completion and errors while you type."""
    from burnish.reference import json_schema

    _print(json_schema())


@app.command()
def runs(store: StoreFolder = Path("runs"), as_json: Json = False) -> None:
    """List the runs of a folder, newest first, with their headline figures."""
    from burnish.report import runs_table

    _print(runs_table(store, as_json=as_json))


@app.command()
def lineage(
    target: Annotated[str, typer.Argument(metavar="ID", help="A record id, a step key, or a run folder.")],
    store: StoreFolder = Path("runs"),
    run_folder: Annotated[Path | None, typer.Option("--run", help="Look in this run only.")] = None,
    as_json: Json = False,
) -> None:
    """Tell a record's whole story, or what a model was made from."""
    from burnish.lineage import as_json as to_json
    from burnish.lineage import lineage as walk

    story = walk(target, store=store, run=run_folder)
    _print(to_json(story) if as_json else "\n".join(story.lines))


@app.command()
def backbones(
    action: Annotated[str | None, typer.Argument(metavar="[pull NAME]", help="`pull NAME` fetches one.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="", hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """List the pretrained weights that can be had, with size, licence and trust; `pull NAME` fetches one."""
    from burnish.reference import backbones_table

    if action is None:
        _print(backbones_table(as_json=as_json))
        return
    from burnish.core.errors import UsageError
    from burnish.core.progress import for_stderr
    from burnish.nn.backbones import pull

    if action != "pull" or name is None:
        raise UsageError(f"backbones {action}: no such action", hint="burnish backbones pull minilm")
    _print(str(pull(name, progress=for_stderr())))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a model folder.")],
    read: Annotated[Path, typer.Option("-i", "--input", help="JSONL (.gz, .zst too), CSV, Parquet or text.")],
    out: Annotated[
        Path, typer.Option("-o", "--output", help="JSONL: one line per input line, in order, with `prediction` added.")
    ],
    text: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
) -> None:
    """Answer for every line of a file, in order."""
    from burnish.batch import predict_file
    from burnish.core.progress import for_stderr

    _print(predict_file(model, read, out, text=text, progress=for_stderr()))


FormatName = Annotated[str, typer.Option("--format", "-F", help="alpaca, sharegpt, openai, dpo, conll, squad, ...")]
FormatSets = Annotated[
    list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="A setting of the format. Repeatable.")
]


@app.command("import")
def import_(
    read: Annotated[Path, typer.Argument(metavar="FILE", help="A file, a folder, or a glob in quotes.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Records: .jsonl or .parquet.")],
    format: FormatName = "auto",
    sets: FormatSets = None,
    licence: Annotated[str, typer.Option(help="Of the records that do not carry their own.")] = "",
    limit: Limit = None,
) -> None:
    """Turn a file of another tool into records; without --format it says what it took it for, and why."""
    from burnish.convert import import_file
    from burnish.core.progress import for_stderr

    _print(
        import_file(read, out, format=format, settings=sets or (), licence=licence, limit=limit, progress=for_stderr())
    )


@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run folder, or a file of records.")],
    out: Annotated[str, typer.Option("-o", "--output", help="A file or URL; a folder for all sides of a run.")],
    format: FormatName,
    side: Annotated[str, typer.Option(help="Of a run's split: train, validation, test.")] = "",
    sets: FormatSets = None,
) -> None:
    """Write records as another tool reads them; say what found no room there."""
    from burnish.convert import export as write
    from burnish.core.progress import for_stderr

    _print(write(source, out, format=format, settings=sets or (), side=side, progress=for_stderr()))


@app.command()
def serve(
    run_folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run or model folders; each is served by its name.")
    ],
    host: Annotated[str | None, typer.Option(help="Beyond 127.0.0.1 a token is required.")] = None,
    port: Annotated[int | None, typer.Option(help="Over the spec's port.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file that holds the token clients must send as bearer token.")
    ] = None,
) -> None:
    """Serve models over HTTP, with batching and a page to try them."""
    from burnish.deploy import serve as start

    start(run_folders, host=host, port=port, token_file=token_file)


@app.command()
def certify(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with constructed records.")],
    precision: Annotated[
        float | None,
        typer.Option("--precision", "--min-accuracy", help="Share of targets that must be right; exit 3 if not."),
    ] = None,
    width: Annotated[float, typer.Option(help="Half the width of the interval that is asked for.")] = 0.02,
    confidence: Annotated[float, typer.Option(help="Of the interval.")] = 0.95,
    verdicts: Annotated[
        Path | None, typer.Option(help="What people decided; NAME.verdicts.jsonl beside the spec by default.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Draw this many in all, instead of as many as the width needs.")
    ] = None,
    worth: Annotated[bool, typer.Option(help="Also measure whether the constructed labels are worth it.")] = True,
    as_json: Json = False,
) -> None:
    """Draw the records a person must check, and say how many targets are right by what is checked so far."""
    from burnish.certify import certify as certified
    from burnish.certify import told
    from burnish.core.progress import for_stderr

    numbers = certified(
        run_folder, precision=precision, width=width, confidence=confidence, verdicts=verdicts, sample=sample,
        worth=worth, progress=for_stderr(),
    )  # fmt: skip
    _print(numbers if as_json else told(numbers))
    if precision is not None and not numbers["holds"] and "accuracy" in numbers:
        from burnish.core.errors import GateError

        raise GateError(numbers["verdict"], where=str(run_folder), hint=numbers["next"][0])


@app.command()
def review(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    host: Annotated[str, typer.Option(help="Beyond 127.0.0.1 the address carries a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8090,
    verdicts: Annotated[Path | None, typer.Option(help="Over NAME.verdicts.jsonl beside the spec.")] = None,
    guidelines: Annotated[Path | None, typer.Option(help="Rules to label by, in Markdown.")] = None,
    to_label_studio: Annotated[
        Path | None, typer.Option(help="Open no page: write records and verdicts as its JSON, its interface beside.")
    ] = None,
    to_argilla: Annotated[Path | None, typer.Option(help="Open no page: write them as Argilla's records.")] = None,
    from_label_studio: Annotated[Path | None, typer.Option(help="Open no page: take in an export in JSON.")] = None,
    from_argilla: Annotated[Path | None, typer.Option(help="Open no page: take in records.to_json.")] = None,
    shared: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of records that every reviewer looks at; one is enough for others."),
    ] = 0.1,
) -> None:
    """Open a page where people decide records; every decision is on disk at once."""
    from burnish.core.progress import for_stderr
    from burnish.reviewing import exchange
    from burnish.reviewing import review as start

    files = {
        "to_label_studio": to_label_studio,
        "to_argilla": to_argilla,
        "from_label_studio": from_label_studio,
        "from_argilla": from_argilla,
    }
    if any(files.values()):
        for told in exchange(run_folder, files, verdicts=verdicts, progress=for_stderr()):
            _print(told)
        return
    start(
        run_folder,
        host=host,
        port=port,
        verdicts=verdicts,
        guidelines=guidelines,
        shared=shared,
        progress=for_stderr(),
    )


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, which weights can be had, what is missing and how to get it."""
    from burnish.doctor import examine, table

    found = examine()
    _print([vars(one) for one in found] if as_json else table(found))
    if any(one.state == "bad" for one in found):
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from burnish import __version__

        _print(__version__)
        raise typer.Exit()


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        app(args=argv, prog_name="burnish", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Print what went wrong and what to do; errors that a user cannot mend come with their traceback."""
    from burnish.core.errors import BurnishError

    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):  # the command-line library's own: it knows how to show itself
        show()
        return code
    if isinstance(error, BurnishError):
        print(f"burnish: {error}", file=sys.stderr)
        return error.exit_code
    import traceback

    traceback.print_exc()
    print(
        "burnish: this is a fault of burnish or of a plug-in, not of your data: please report the lines above",
        file=sys.stderr,
    )
    return 1


def entry() -> None:
    """The command: run it and leave at once.

    Every result is on disk by a rename before a command ends. Tearing the interpreter down would add nothing but, once
    in some twenty ends, an abort out of Arrow's thread pool (pyarrow 26), which turns exit code 0 into 134.
    """
    # two threads that wait for each other should sleep soon: beside other work, spinning took twice the CPU time of the
    # products themselves (docs/log.md, "Waiting threads"); read by libgomp when torch is loaded
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
