"""What was measured: kept in a file after each measurement, summed up in a table."""

import json
import os
from pathlib import Path
from statistics import median

from tools import Failure

# After the first round only those variants go on that are so close to the best.
CLOSE = 0.05


class Results:
    def __init__(self, path, about, measurements=()):
        self.path = Path(path)
        self.about = about  # settings, machine, versions
        # What failed is tried again when a run is continued.
        self.measurements = [m for m in measurements if "error" not in m]

    @classmethod
    def load(cls, path):
        try:
            saved = json.loads(Path(path).read_text())
            return cls(path, saved["about"], saved["measurements"])
        except OSError as error:
            raise Failure(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise Failure(f"{path} is no file that this program wrote") from error

    def add(self, measurement):
        self.measurements.append(measurement)
        self.save()

    def save(self, table=None):
        document = {"about": self.about, "measurements": self.measurements}
        if table is not None:
            document["table"] = table
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".part")
        temporary.write_text(json.dumps(document, indent=1) + "\n")
        os.replace(temporary, self.path)

    def of(self, case, contestant, variant):
        key = (case.name, contestant.name, variant.name)
        return [
            m for m in self.measurements if (m["case"], m["contestant"], m["variant"]) == key
        ]

    def rounds(self, case, contestant, variant):
        """Figures by round, in the case's unit."""
        return {
            m["round"]: m["record"][case.unit.field]
            for m in self.of(case, contestant, variant)
            if "record" in m
        }

    def failed(self, case, contestant, variant):
        return any("error" in m for m in self.of(case, contestant, variant))

    def running(self, case, contestant, round):
        """The variants that take part in a round (of which the first is number 1)."""
        alive = [v for v in contestant.variants if not self.failed(case, contestant, v)]
        if round == 1:
            return alive
        first = {v.name: self.rounds(case, contestant, v).get(1) for v in alive}
        if None in first.values():
            return alive[:1]  # not known yet: one of them will go on
        if case.unit.higher_is_better:
            return [v for v in alive if first[v.name] >= (1 - CLOSE) * max(first.values())]
        return [v for v in alive if first[v.name] <= (1 + CLOSE) * min(first.values())]

    def best(self, case, contestant):
        """The better variant, and its median over the rounds; None where nothing was measured."""
        figures = {}
        for variant in self.running(case, contestant, 2):
            if rounds := self.rounds(case, contestant, variant):
                figures[variant.name] = median(rounds.values())
        if not figures:
            return None
        choose = max if case.unit.higher_is_better else min
        name = choose(figures, key=figures.get)
        return name, figures[name]


def table(cases, results):
    """A row for each contestant that is compared with the first one of its case, where begun."""
    begun = {m["case"] for m in results.measurements}
    rows = []
    for case in (case for case in cases if case.name in begun):
        first, *others = case.contestants
        ours = results.best(case, first)
        for other in others:
            theirs = results.best(case, other)
            row = {
                "case": case.name,
                "title": case.title,
                "unit": case.unit.name,
                "ours": ours and ours[1],
                "against": ", ".join(filter(None, [other.name, theirs and theirs[0]])),
                "theirs": theirs and theirs[1],
                "target": other.target,
                "ratio": None,
                "met": None,
            }
            if ours and theirs:
                up = case.unit.higher_is_better or case.unit.part
                row["ratio"] = ours[1] / theirs[1] if up else theirs[1] / ours[1]
                over = row["ratio"] - other.target
                row["met"] = over <= 0 if case.unit.part else over >= 0
            rows.append(row)
    return rows


def markdown(cases, rows, targets=True):
    """A table for readers; with what each ratio should reach, for those who work on the program."""
    units = {case.name: case.unit for case in cases}
    heads = ["work", "`resnet`", "compared with", "its figure", "ratio"]
    rules = ["---", "--:", "---", "--:", "--:"]
    if targets:
        heads += ["target", "met"]
        rules += ["--:", "---"]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|"]
    for row in rows:
        unit = units[row["case"]]

        def figure(value):
            return "n/a" if value is None else f"{value:,.{unit.decimals}f} {unit.name}"

        cells = [
            row["title"],
            figure(row["ours"]),
            row["against"],
            figure(row["theirs"]),
            "n/a" if row["ratio"] is None else f"{row['ratio']:.2f}x",
        ]
        if targets:
            bound = "at most " if unit.part else ""
            met = {True: "yes", False: "no", None: ""}[row["met"]]
            cells += [f"{bound}{row['target']:g}x", met]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
