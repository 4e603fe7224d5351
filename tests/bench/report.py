"""Write docs/performance.md and its pictures from one or several runs: `python -m tests.bench.report RESULTS.json ...`.

Of a part that several runs have, the last one named counts.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tests.bench import part_ami, part_growth
from tests.bench.figures import Figure, Results, Series, cells, read_results
from tests.bench.svg import lines, ratio_bars

_DOCS = Path(__file__).parents[2] / "docs"
_PARTS: Mapping[str, tuple[str, str]] = {
    "assign": (
        "Assign and release, in one process",
        "A call asks Redis twice: for its caller-ID, and to give it back. The baseline is the least that Redis and its"
        " client can do: EVALSHA of a script that returns 1, from as many tasks at once, each with a trip of its own."
        " What is wanted is 0.6 of that rate in questions; the line below has the same in whole calls. Questions that"
        " wait at the same moment share a trip and a script run, which is why the third line compares with one-line"
        " scripts that share both as well: it shows what is left of the work itself.",
    ),
    "http": (
        "`GET /next-cid`",
        "The whole daemon, set up as it comes: each question is of a new call, checked, assigned, logged, counted, and"
        " stored in PostgreSQL. The baseline is a bare aiohttp handler that makes one round trip to Redis: it checks,"
        " logs, counts and stores nothing, and PostgreSQL does not work beside it on the same two cores. The driver is a"
        " process of its own.",
    ),
    "designs": (
        "Against reading first and writing then",
        "The design that most caller-ID rotators have: list the area's numbers, ask Redis three things about each, sort,"
        " reserve. Written small, run on the same servers, without the HTTP that it would have.",
    ),
    "vicidial": (
        "Against VICIdial's own pick",
        "VICIdial's two statements for a CID group (`SELECT ... ORDER BY call_count_today`, last row wins; `UPDATE`)"
        " on MariaDB, with the same caller-IDs and areas. It reserves nothing, so that two calls may be given one number.",
    ),
    "ami": (
        "The AMI path",
        "Pretend Asterisks with whole event streams (some 70 events and 32 kB a call) in one process, the daemon in another,"
        " no HTTP: a call that AMI does not serve in the few milliseconds of VICIdial's `call_log` keeps its own number here"
        " and would ask over HTTP. All share two processors; where one is wanted Redis, the daemon and the bare listener go"
        " first, as [deployment](deployment.md#going-first) has it for a machine of their own, but for the lines that say"
        " otherwise.",
    ),
    "asterisk": (
        "A real Asterisk",
        "Asterisk as VICIdial sets it up, with the hook, a stand-in for its `call_log` that takes as long as VICIdial's own"
        " was measured to (FastAGI_log.pl of svn r3884 with MariaDB, on two free processors), and a SIP carrier. The hook"
        " can ask nobody over HTTP: what did not come in time would stay VICIdial's own. *ami*: by AMI alone; *feed*: with"
        " VICIdial's database, so that the number waits in AstDB, put there over AMI.",
    ),
    "growth": (
        "More caller-IDs",
        "All sizes stand side by side in one Redis and are called in turns by the same process.",
    ),
    "rungs": (
        "Long ladders",
        "An assignment whose caller-ID is on the last of ten places to look, in turns with one that finds it at the first.",
    ),
    "pages": (
        "The dashboard's pages",
        "Each page of the daemon as a user runs it, with a full inventory in 20 groups, a week of 100,000 calls and usage"
        " of every caller-ID on seven days; asked one after the other, over loopback, each answer read to its end.",
    ),
    "viewers": (
        "People who watch",
        "Assignments over HTTP in pairs of rounds, one without and one with live streams of *Now*, each read to its end by a"
        " process of its own that shares the machine; then the daemon alone, while nothing is asked.",
    ),
    "warm": (
        "The warm pool",
        "Time is simulated; calls, scripts and the filler are real. A warm caller-ID is taken by the same script that would"
        " otherwise look through the ladder, so that a warm pool does not make a single assignment faster. What it does: it"
        " shares scarce areas among campaigns ahead of time. Where there are plenty of caller-IDs it does nothing.",
    ),
    "ledger": (
        "Records",
        "The outbox is filled while nobody stores, and then stored by one daemon. No call waits for any of it. Between two"
        " records of a call lie those of others, as where 500 calls begin a second and last for ten.",
    ),
    "start": ("Start", "From the start of the process to the first caller-ID over HTTP."),
}

_PROFILE = """### Where the time goes

Profiled with callgrind (instructions of Valkey 9.1, which other work on the machine does not change), perf, py-spy, SLOWLOG,
`INFO commandstats`, a watchdog of the event loop and the times of each call's steps, 2026-11-25 to 27.

- **Redis.** Of a script that assigned alone, 83,000 of 497,000 instructions were spent before its first own line:
  reading its arguments, making its functions anew, the time. A script that returns 1 takes 11,000. Calls that wait at
  the same moment now share one run (`pool/lua/include/together.lua`): 375,000 for an assignment, 266,000 for a release
  (368,000 before). What is left is some 13 commands and the packing of two records each way; no single one of them is
  more than a tenth.
- **Its memory.** The embedded Valkey allocates with glibc, which was a third of its time. It may keep more freed blocks
  now: 147 µs for an assignment and its release instead of 200, for 15 MB. With jemalloc, which is what others build Redis
  and Valkey with, it takes an eighth less again (205 µs instead of 235 in eight runs of a slower hour, 2026-11-26): it is
  used where the system has it, as in these figures.
- **A single call, Redis.** 250 µs for an assignment that came alone as a script: some 50 before its first own line, 23 for
  `INFO server`, which tells whether this is still the process on which the pool was opened, 60 for the other commands, the
  rest is Lua. After 10 ms in which the processor did something else the same took 500 to 600 µs, 170 of them before its
  first line: at a few calls a second it is the caches that are waited for.
- **Functions.** What calls wait for is a function of Redis now, whose parts are not made anew at each run. In six pairs of
  runs, one after the other, an assignment or a release that came alone took 316 to 412 µs as a script and 231 to 281 as a
  function, a fifth less in the middle (2026-11-26). Where eight share a run the difference is lost in the noise.
- **What calls waited for.** Jobs that count states and warm pools, and fill these, ran scripts of up to 700 commands: 3 to
  8 ms, several a second, and a call that came meanwhile waited. No script that a daemon runs by itself should take longer
  than half a millisecond now (`pool/survey.py`), and calls share a run by eight at the most, so that Python works at the
  answers of one run while Redis works at the next.
- **Each second.** Until 2026-11-27 PostgreSQL read and hashed the whole inventory each second, to find that nothing had
  changed (42 ms at 60,000 caller-IDs; 0.13 now, however many there are), and the jobs of each second all began in the
  same moment. At 30 calls a second to a real Asterisk most of the calls that waited longest for their number began
  within 60 ms of that moment: 4 to 15 ms, where others waited 1.5. Each job has its own moment now. From event to Setvar
  the p99 became 2.9 ms instead of 6.5; in three pairs of rounds AMI alone was in time for 99.4 of 100 calls instead of
  97.7. At 500 calls a second, where the processors are busy throughout, it made no difference to the middle.
- **Python.** redis-py took 290 µs for a call that waits alone, a kept connection of its own 120. Its answers are now
  handed over as they are read (`pool/wire.py`), in the same turn of the event loop, and assignments do not stand behind
  what is only told. The line in the log was 15 µs of 130; it takes a third less now.
- **Filling warm pools.** Each call took one of a pool, and each second put one back: at 500 calls a second over 600 pools
  375 scripts of 290 µs, four of which could stand before a call. A pool is filled now when it has fewer than the next
  second asks for, to three seconds more than that, as a function, small ones several in a run: 50 a second. Of calls as
  many find a warm one as before.
- **The machine.** It is a virtual one, and single runs of one and the same code differ by a quarter; ratios too, because
  what has several processes on two processors gains less from a fast hour than what has one. At 500 calls a second over
  AMI sixteen runs within two hours had p50 1.2 to 4.8 ms and p99 7.8 to 30 ms, half of them within 1.2 to 1.8 and 7.8 to
  9.5; the host took up to a tenth of the two processors back meanwhile. Of 48 runs of ten to twenty seconds on the code of
  2026-11-27, within two hours of that day, p50 was 0.91 to 1.83 ms, 1.35 in the middle, and p99 6.4 to 14.7. The tables show
  the last run, whatever it was.
- **Who goes first.** In these runs Redis was ready to work for half as long as it worked, and waited for a processor (`perf
  sched` at 500 calls/s: 16 % of the time waiting, 30 working; the daemon 20 and 58). Of the time from event to Setvar that
  is what changes most with the hour. With the lowest real-time priority for Redis alone 14 runs had p50 0.40 to 0.96 ms,
  0.79 in the middle, and p99 1.9 to 6.0; with the daemon's as well 13 had 0.44 to 0.88, 0.72 in the middle, and 1.5 to 4.5;
  15 with nobody first in turns with them 0.46 to 1.97, 1.06 in the middle, and 2.9 to 13.3 (2026-11-27). The daemon alone
  first gains nothing. A nice value of -10 for Redis made 0.82 of p50, for both nothing; a slice of 0.1 ms for both 0.88.
  At 30 calls a second to a real Asterisk, with processors to spare, Redis first changes nothing: p99 3.7 ms more from
  Originate to INVITE instead of 3.9, 99.7 of 100 by AMI as before. To hold back what is only told while a question is under
  way gained nothing either, once Redis went first.
- **Waking up.** A byte sent to another process and back takes 18 µs here, and 135 where both slept for a millisecond: the
  host wakes a virtual processor. The sender used 40 µs of its processor for that instead of 11. With two programs that do
  nothing, at the lowest priority, so that no processor sleeps, the daemon took 43 % of one for 500 calls a second instead of
  66, the simulator 28 to 35 instead of 38 (2026-11-27; their times were no use, since who woke up waited for those
  programs). A third of what the daemon seems to cost is that, which no code of its own changes: 14 of its busiest modules
  compiled by mypyc saved 3 of 66 %. It is probably why p50 at 100 calls a second, where hardly anything waits, is longer
  than at 300: Redis and the daemon are woken for each call, and find little in their processor's caches.
- **A job that did not end.** Some of that was ours: once a minute usage is counted where the ledger changed, and with calls
  that never pause it had changed again each time. PostgreSQL took 65 to 73 % of a processor for it from the second minute
  on, and 500 calls/s, the fifth stage of a run, had p50 3.5 to 4.5 ms and p99 16 to 27. It counts once a minute now.
- **Which Python.** These figures are of Debian's Python 3.11. One built without profile-guided optimization, as pyenv
  builds it by default, takes a fifth more: 497 µs instead of 406 for an answer of `/next-cid`.
- **AMI.** At 500 calls a second AMI brings 35,000 events and 16 MB a second, of which 4,100 events tell anything. They
  are told by their name and by a field or two: cutting the bytes at blank lines and looking at a few bytes of each
  event takes a quarter of the time that a search through all bytes took. 2,400 more a second were read and passed over
  until 2026-11-26: those of a trunk leg's or an agent's channel, and of the half of a Local pair that does not dial.
  Only the fields that are asked for are read. A Setvar has no future and no message of its own any more, and confirming
  and releasing no task: 69 % of a processor became 65, and 52 to 58 without those events, with less work for a record
  and the log written ten times a second instead of a hundred. What is left is flat. At 500 calls/s simulator, daemon,
  Redis and PostgreSQL together want one and a half of the two processors. An answer waits for the
  daemon's own turn: most turns of its loop take 0.2 ms, but half of its time is in turns of more than 0.7 ms, in which
  what several dialers said is read. Of the 1.4 ms from event to Setvar 1.1 went by from the question's leaving to the
  answer's being read, of which Redis works for 0.3. The daemon looks for answers after each event that tells anything
  now (`Flights.read_answers`, 1 µs where there is none), and before it sets a number it reads what that dialer has said
  by then, the begin of the trunk leg perhaps (`AmiProtocol.catch_up`). Looking for answers alone made 0.8 ms of 1.4 in
  six pairs (2026-11-27), but of 1,000 calls a second, which are too many here, some hundreds a stage got their variable
  100 ms after their trunk leg began; with both none did. Looking only where a single question is under way kept that
  rule too, at 500 calls/s with p50 0.75 ms and p99 6.3 in the middle of four runs, and at 1,000 with 4.2 and 30 in
  the middle of three: of the calls 69 in a hundred were served too late. With both they were, in turns with those runs,
  0.73 and 5.3 ms, and 3.0 and 27, 54 in a hundred too late. To read one dialer's bytes a turn made the time longer. A
  bare listener in Python (one EVALSHA by redis-py, then one constant number; it follows nothing and keeps nothing) is
  measured below on the same events.
- **A real Asterisk.** From its event to its answer to our Setvar p50 3.1 ms, p99 12 at 30 calls a second were measured
  first: 0.6 until the event is here, 1.5 in the daemon, 0.8 until Asterisk has set the variable. The daemon's part is
  0.9 to 1.4 ms now, p99 3. For some calls all of it takes longer than `call_log`. Most of them are manual calls, whose
  number no event tells before `call_log` begins. They ask over HTTP; with the feed none has to. A nice value, a shorter
  slice, the `eventfilter` lines, and a second AMI session for the Setvars alone (the thread of a session sends events
  and reads actions in turn) made no difference. Until 2026-11-26 the stand-in for `call_log` was log-normal (4
  ms in the middle, 140 at p99): of its calls one in five had less than 1 ms to `CAMPCUST`, which no call of VICIdial's
  own script had (1.7 ms at the least of 1,800), and one in four more than 10, which few of them had. With it 97.5 to
  98.5 of a hundred calls were in time.
- **Records.** The daemon made rows while PostgreSQL waited, and waited while PostgreSQL stored: of a backlog 3,300 to 3,700
  calls a second were stored, with either busy for half of the time. One statement for three, rows made as they are read,
  JSON read as `json` instead of `jsonb`, and a second batch under way made 6,300 to 6,700 of it (2026-11-26, the same load).
- **Filling a pool.** 35 µs of Redis a caller-ID became 18: new ones of a leaf are filed by one command.
- **`/next-cid`.** A constant answer through the whole server (reading, routing, eight headers, writing) takes 140 µs of
  370 to 460. One timer for the time limits of all questions instead of one for each (5.3 µs became 1.3), a third less for
  the line in the log (7.5 µs became 4.8) and no exception to tell that an answer is no page made 13 % more answers in
  eight pairs of runs. wrk needs next to no processor: the bare handler then has one alone, while ours has Redis (150 to
  200 µs an answer) and PostgreSQL (30 to 50) beside it.
"""


def write(results: Results, docs: Path) -> None:
    """Write the page and the pictures."""
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    shown = [item for item in results.figures if item.baseline is not None and item.at_least is not None]
    pictures: dict[str, str] = {}
    if shown:
        pictures["ratios"] = ratio_bars("Ratios to their baselines; a mark is what was asked for", shown)
    ami = _series(results.series, part_ami.PART)
    if ami:
        pictures["ami"] = lines("From the AMI event to the written Setvar", ami, is_logarithmic=False, bound=10.0)
    growth = _series(results.series, part_growth.PART)
    if growth:
        pictures["growth"] = lines("Assign and release, by the size of the inventory", growth, is_logarithmic=True)
    for name, text in pictures.items():
        (images / f"performance-{name}.svg").write_text(text, encoding="utf-8")
    (docs / "performance.md").write_text(_page(results, pictures), encoding="utf-8")


def merge(runs: Sequence[Results]) -> Results:
    """Put runs together."""
    figures: dict[str, list[Figure]] = {}
    series: dict[str, list[Series]] = {}
    for run in runs:
        for part, found in groupby(run.figures, key=lambda item: item.part):
            figures[part] = list(found)
            series[part] = [item for item in run.series if item.part == part]
    about = dict(runs[-1].about)
    about["date"] = ", ".join(dict.fromkeys(run.about["date"] for run in runs))
    about["load before"] = ", ".join(run.about.get("load before", "") for run in runs)
    about["parts"] = " ".join(part for part in _PARTS if part in figures)
    sizes = {part: run.about.get("size", "") for run in runs for part in {item.part for item in run.figures}}
    usual = Counter(sizes.values()).most_common(1)[0][0]
    others = [f"{part}: {sizes[part]}" for part in _PARTS if sizes.get(part, usual) != usual]
    about["size"] = "; ".join([usual, *others])
    return Results(
        about,
        tuple(item for part in _PARTS for item in figures.get(part, ())),
        tuple(item for part in _PARTS for item in series.get(part, ())),
    )


def _page(results: Results, pictures: Mapping[str, str]) -> str:
    text = [
        "# Performance",
        "",
        "Every figure is from a run of `make bench`, and every ratio is to a baseline that was measured in the same run on"
        " the same servers. Milliseconds and rates are those of one machine; ratios travel. Where the load before a run is"
        " not near 0, other programs shared the machine: times are then too long and rates too low.",
        "",
        *(f"- {topic}: {value}" for topic, value in results.about.items() if topic != "parts"),
        "",
        "Run it yourself: `make bench` (all but the real Asterisk), `make bench PART=assign` (a part by name),"
        " `make bench PART=asterisk`, `make bench SIZE=huge` (also a million caller-IDs). The table goes to the terminal,"
        " the figures to `bench.json`, and `python -m tests.bench.report bench.json` writes this page.",
        "",
    ]
    if not results.about.get("size", "").startswith(("full", "huge")):
        text += ["**A small run: it proves that the benchmark works; its figures are not to be quoted.**", ""]
    if "ratios" in pictures:
        text += ["![Ratios to their baselines](images/performance-ratios.svg)", ""]
    missed = [item for item in results.figures if item.is_held is False]
    if missed:
        text += ["Not reached:", "", *(f"- {item.part}: {item.name}: {_short(item)}" for item in missed), ""]
    for part, found in groupby(results.figures, key=lambda item: item.part):
        title, about = _PARTS[part]
        text += [f"## {title}", "", about, ""]
        if part in pictures:
            text += [f"![{title}](images/performance-{part}.svg)", ""]
        text += [*_table(list(found)), ""]
        if part == "assign":
            text += [_PROFILE]
    return "\n".join(text)


def _table(figures: Sequence[Figure]) -> Iterable[str]:
    yield "| figure | value | baseline | ratio | wanted | |"
    yield "|---|---:|---:|---:|---:|---|"
    for item in figures:
        name, value, baseline, ratio, wanted, verdict = cells(item)
        remark = "; ".join(part for part in (verdict if verdict != "held" else "", item.note) if part)
        yield f"| {name} | {value} | {baseline} | {ratio} | {wanted} | {remark} |".replace("  ", " ")


def _short(item: Figure) -> str:
    _, value, _, ratio, wanted, _ = cells(item)
    return f"{ratio or value}, wanted {wanted}"


def _series(series: Sequence[Series], part: str) -> list[Series]:
    return [item for item in series if item.part == part and item.points]


def main() -> None:
    """Read the arguments and write."""
    arguments = argparse.ArgumentParser(prog="python -m tests.bench.report", description=__doc__)
    arguments.add_argument("results", nargs="+", type=Path)
    arguments.add_argument("--docs", type=Path, default=_DOCS)
    given = arguments.parse_args()
    write(merge([read_results(path) for path in given.results]), given.docs)


if __name__ == "__main__":
    main()
