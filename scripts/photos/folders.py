"""Odd folders and tables of photos, and what the program must say of each."""
import dataclasses
import os

from .pictures import JPEG, dot, enlarged, fixture, png, png_of, without_tables
from .program import TINY, cats_and_dogs, link, make, unreadable


@dataclasses.dataclass
class Command:
    verb: str
    code: int
    texts: tuple


@dataclasses.dataclass
class Case:
    name: str
    tree: dict  # what is in the folder
    commands: list
    folder: str = "photos"
    labels: bool = False  # whether the labels are in the table photos/labels.csv
    ordinary: bool = False  # whether the user must be one whom permissions stop


def check(code, *texts):
    return [Command("check", code, texts)]


def train(code, *texts):
    return [Command("train", code, texts)]


def both(code, *texts):
    return check(code, *texts) + train(code, *texts)


def trains(images, validation, *notes):
    """Both go on, with these notes, and these photos are trained on."""
    return check(0, *notes) + train(0, *notes, f" {images} training, {validation} validation images")


def left_out(name, why):
    """A photo that cannot be used is named, and the run goes on without it."""
    named = f"{name} {why}"
    return check(0, named, "photos damaged or unreadable") + train(0, named, "; it is left out")


GOOD = cats_and_dogs()


def with_file(name, content):
    return {**GOOD, name: content}


def parts(other, classes=("cat", "dog")):
    return {**cats_and_dogs(under="train/"), **cats_and_dogs(2, f"{other}/", 100, classes)}


TEN = {f"{i}.png": png(i) for i in range(10)}
ROWS = [f"{i}.png,{'cat' if i < 5 else 'dog'}" for i in range(10)]


def table(rows, header="path,label", end="\n", encoding="utf-8", photos=TEN):
    text = "".join(row + end for row in [header, *rows])
    return {**photos, "labels.csv": text.encode(encoding)}


def tabled(name, tree, commands):
    return Case(name, tree, commands, labels=True)


NOTHING_WRONG = "10 photos, and nothing is wrong with them"
HELD_OUT = " 8 training, 2 validation images"
FINE = check(0, NOTHING_WRONG) + train(0, HELD_OUT)


def fine_but(note):
    return check(0, note, NOTHING_WRONG) + train(0, note, HELD_OUT)


CASES = [
    # What there is.
    Case("a good folder", GOOD, FINE),
    Case("no folder of this path", {}, both(1, "cannot read", "No such file or directory"), "./missing/"),
    Case("no folder of this name",
        {}, check(1, "cannot read missing") + train(2, "data set `missing`", "no folder"), "missing"),
    Case("the path of a file", {"file": b"x"}, both(1, "photos/file is not a folder: give one"), "photos/file"),
    Case("the name of a file",
        {"../pets.zip": b"x"}, both(1, "pets.zip is not a folder: give one"), "pets.zip"),
    Case("an empty folder",
        {}, both(1, "photos has no photos: give a folder that has a folder of photos for each class")),
    Case("photos without classes",
        TEN, both(1, "photos has 10 photos, such as 0.png, but no class folders: sort them", "--labels FILE")),
    Case("one class",
        cats_and_dogs(classes=["cat"]),
        check(0, "5 photos, and nothing is wrong") + train(1, "one class, cat: there is nothing to learn")),
    Case("a class without photos",
        with_file("owl", None),
        both(1, "no photos in the class folder owl: put photos there, or remove the folder")),
    Case("a class of other files only",
        with_file("owl/a.heic", b"x"), both(1, "class folder owl", "owl/a.heic: convert them to JPEG or PNG")),
    Case("folders in a class", with_file("cat/a/b/9.png", png(9, 50)), trains(9, 2)),
    Case("photos beside the classes",
        with_file("a.png", png(99)), fine_but("left out a photo outside the class folders, a.png")),
    Case("two photos",
        cats_and_dogs(1), check(0, "2 photos, and") + train(1, "1 of 2", "each class must keep")),
    Case("10,000 classes of one photo",
        {f"{i}/a.png": dot(i) for i in range(10_000)},
        check(0, "single colour") + train(1, "2000 of 10000", "each class must keep")),
    # Links, hidden files and other files.
    Case("a link to a photo", {**GOOD, "../o.png": png(77), "dog/l.png": link("../../o.png")}, trains(9, 2)),
    Case("a link to a folder",
        {**cats_and_dogs(classes=["cat"]), "../o/0.png": png(77), "../o/1.png": png(78), "dog": link("../o")},
        trains(6, 1)),
    Case("links that loop",
        {**GOOD, "cat/self": link("."), "dog/self": link("../dog"), "dog/me.png": link("me.png")},
        fine_but("left out 2 links to folders that are in the class already, such as ")),
    Case("a link that loops by other classes",
        with_file("cat/all", link("..")),
        fine_but("left out a link to a folder that contains the class, cat/all")),
    Case("links to nowhere",
        {**GOOD, "cat/gone.png": link("/nowhere/a.png"), "owl": link("nowhere")},
        fine_but("left out 2 links that lead nowhere, such as ")),
    Case("hidden files",
        {**GOOD, ".DS_Store": b"x", "cat/._0.png": b"x", ".git/a.png": png(9), "cat/Thumbs.db": b""},
        fine_but("left out 4 hidden files and folders, such as ")),
    Case("__MACOSX",
        with_file("__MACOSX/cat/._0.png", b"x"), fine_but("left out a hidden file or folder, __MACOSX")),
    Case("other files",
        {**GOOD, "cat/readme.txt": b"x", "dog/film.mp4": b"x"},
        fine_but("left out 2 files that are no photos, such as cat/readme.txt")),
    Case("HEIC by its suffix",
        with_file("cat/a.HEIC", b"x"), fine_but("cat/a.HEIC: convert them to JPEG or PNG")),
    Case("a pipe among the photos",
        with_file("cat/pipe.png", os.mkfifo), fine_but("left out a file that is no photo, cat/pipe.png")),
    Case("a folder that is named x.jpg", with_file("cat/x.jpg", None), FINE),
    # Parts.
    Case("train and val", parts("val"), trains(10, 4)),
    Case("train and valid", parts("valid"), trains(10, 4)),
    Case("train and test",
        parts("test"), check(0, "14 photos, and nothing is wrong") + train(0, " 10 training, 4 test images")),
    Case("train alone, in capitals", cats_and_dogs(under="TRAIN/"), FINE),
    Case("test without classes",
        {**cats_and_dogs(under="train/"), "test/a.png": png(99)},
        fine_but("test has 1 photo without class folders: it is left out")),
    Case("val and valid",
        {**parts("val"), "valid": None}, both(1, "two folders of the same part, val and valid: keep one")),
    Case("val alone",
        cats_and_dogs(under="val/"), both(1, "no folder train: add it, or give", "photos/val itself")),
    Case("a class in val only",
        parts("val", ["cat", "owl"]), both(1, "val has photos of owl, which train has not")),
    Case("a class that val lacks", parts("val", ["cat"]), trains(10, 2, "val has no photos of dog")),
    # Names.
    Case("names in other scripts",
        cats_and_dogs(classes=["고양이", "قطة", "🐈‍⬛"]),
        check(0, "15 photos, and nothing is wrong", "고양이", "🐈‍⬛") + train(0, " 12 training, 3 validation")),
    Case("names that turn text around",
        cats_and_dogs(classes=["cat", "\u202etac"]),
        check(0, NOTHING_WRONG, r"\u{202e}tac") + train(0, HELD_OUT)),
    Case("Cat and cat",
        cats_and_dogs(classes=["Cat", "cat"]),
        fine_but("the classes Cat and cat differ only in case: they are two classes")),
    Case("NFC and NFD",
        cats_and_dogs(classes=["caf\u00e9", "cafe\u0301"]),
        fine_but("differ only in Unicode normalisation: they are two classes")),
    Case("files whose names are not UTF-8",
        {**GOOD, b"cat/\xff.png": png(88), b"dog/\xfe.png": b"x"}, check(0, "dog/\\xfe.png is not an image")
        + train(0, "dog/\\xfe.png is not an image", " 10 training, 2 validation images")),
    Case("a class whose name is not UTF-8",
        {**GOOD, b"\xffowl/1.png": png(88)},
        both(1, "\\xffowl is not UTF-8, as the name of a class must be: rename the folder")),
    Case("spaces and quotes", cats_and_dogs(under="it's \"my\" $HOME/"), FINE, "photos/it's \"my\" $HOME"),
    # Photos.
    Case("a photo that may not be read",
        with_file("cat/x.png", unreadable(png(9))),
        left_out("cat/x.png", "cannot be read: Permission denied (os error 13)"), ordinary=True),
    Case("a class that may not be read",
        with_file("owl", unreadable(None)), both(1, "cannot read", "photos/owl: Permission denied"),
        ordinary=True),
    Case("a damaged JPEG", with_file("cat/x.jpg", without_tables(JPEG)), left_out("cat/x.jpg", "is damaged: ")),
    Case("a truncated JPEG",
        with_file("cat/x.jpg", JPEG[:len(JPEG) // 2]),
        left_out("cat/x.jpg", "is truncated: the file ends before the image does")),
    Case("a truncated PNG",
        with_file("cat/x.png", png(9)[:-40]),
        left_out("cat/x.png", "is truncated: the file ends before the image does")),
    Case("no bytes", with_file("cat/x.jpg", b""), left_out("cat/x.jpg", "is empty")),
    Case("text that is named .jpg",
        with_file("cat/x.jpg", b"<!DOCTYPE html>\n"),
        left_out("cat/x.jpg", "is not an image in a supported format")),
    Case("HEIC that is named .jpg",
        with_file("cat/x.jpg", b"\0\0\0\x18ftypheic" + bytes(99)),
        left_out("cat/x.jpg", "is HEIC, which is not supported: convert it to JPEG, PNG or WebP")),
    Case("a PNG that is named .jpg", with_file("cat/x.jpg", png(9, 50)), trains(9, 2)),
    Case("a PNG without a suffix", with_file("cat/x", png(9, 50)), trains(9, 2)),
    Case("JPEGs in CMYK",
        {**GOOD, "cat/x.jpg": fixture("cmyk.jpg"), "dog/x.jpg": fixture("ycck.jpg")}, trains(10, 2)),
    Case("PNGs of 16 bits",
        {**GOOD, "cat/x.png": png(9, bits=16), "dog/x.png": fixture("grey16.png")}, trains(10, 2)),
    Case("an animated GIF", with_file("cat/x.gif", fixture("animated.gif")), trains(9, 2)),
    Case("a photo of one pixel",
        with_file("cat/x.png", dot(9)),
        check(0, "side below 32 pixels") + train(0, " 9 training, 2 validation images")),
    Case("a very wide photo",
        with_file("cat/x.png", png(9, 10_000, 2)),
        check(0, "10000x2", "side below 32 pixels") + train(0, " 9 training, 2 validation images")),
    Case("a PNG that states 60,000 rows",
        with_file("cat/x.png", png_of(60_000, 60_000, b"")),
        left_out("cat/x.png", "has 60000x60000 pixels (3600 megapixels), above the limit of 134: scale it down")),
    Case("a PNG that states 2^31 - 1 rows",
        with_file("cat/x.png", png_of(2**31 - 1, 2**31 - 1, b"")),
        left_out("cat/x.png", "has 2147483647x2147483647 pixels")),
    Case("a JPEG that states 65,000 rows",
        with_file("cat/x.jpg", enlarged(JPEG)), left_out("cat/x.jpg", "has 65000x65000 pixels")),
    Case("photos that all are damaged",
        {f"{name}/{i}.jpg": b"" for name in ("cat", "dog") for i in range(5)},
        check(0, "photos damaged or unreadable     10")
        + train(1, "none of the", ".jpg is empty; it is left out")),
    Case("validation photos that all are damaged",
        {**cats_and_dogs(under="train/"), "val/cat/0.jpg": b"", "val/dog/0.jpg": b""},
        check(0, "photos damaged or unreadable      2")
        + train(1, "none of the", "val/cat/0.jpg is empty; it is left out")),
    # Tables.
    tabled("a table", table(ROWS), FINE),
    tabled("a table without a header", table(ROWS[1:], ROWS[0]), FINE),
    tabled("a table with semicolons", table([row.replace(",", ";") for row in ROWS], "path;label"), FINE),
    tabled("a table of Windows",
        table([f"sub\\{row}" for row in ROWS], end="\r\n", encoding="utf-8-sig",
              photos={f"sub/{name}": content for name, content in TEN.items()}),
        FINE),
    tabled("a table of Windows with a missing photo",
        table([*ROWS, "x.png,cat"], end="\r\n", encoding="utf-8-sig"), both(1, "x.png (line 12)")),
    tabled("a table in UTF-16",
        table(ROWS, encoding="utf-16"), both(1, "labels.csv: it is UTF-16 text: save it as UTF-8")),
    tabled("a table with splits",
        table([f"{row},{'val' if row[0] in '49' else 'train'}" for row in ROWS], "path,label,split"), FINE),
    tabled("a table with an unknown split",
        table([f"{row},{'dev' if row[0] in '49' else 'train'}" for row in ROWS], "path,label,split"),
        both(1, "labels.csv, line 6: its split is `dev`, not train, val or test")),
    tabled("a table with a missing photo",
        table([*ROWS, "x.png,cat"]), both(1, "1 of the 11 photos", "x.png (line 12). Paths are relative to")),
    tabled("a photo with two labels",
        table([*ROWS, "./0.png,dog"]),
        both(1, "labels.csv, line 12: 0.png is dog here and cat in line 2: one photo has one label")),
    tabled("a photo that is named twice",
        table([*ROWS, ROWS[0]]), fine_but("names 1 photo twice: each counts once")),
    tabled("a row without a label", table([*ROWS, "0.png,"]), both(1, "labels.csv, line 12: it has no label")),
    tabled("a table of one column",
        table(["0.png"], "path"), both(1, "labels.csv, line 1: it has one column, not a path and a label")),
    tabled("an empty table", {**TEN, "labels.csv": b""}, both(1, "labels.csv: it has no rows")),
    tabled("a table that is not there", TEN, both(1, "cannot read", "labels.csv: No such file or directory")),
]


def run(case, program, folder):
    """Makes the folder, and runs the commands in the folder above it. Returns what was seen."""
    make(folder / "photos", case.tree)
    if case.ordinary:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, *program.ordinary, follow_symlinks=False)
    seen = []
    for command in case.commands:
        words = {"check": ["data", "check"], "train": ["train"]}[command.verb] + [case.folder]
        if command.verb == "train":
            words += [*TINY, "--epochs", "1", "--workers", "1", "--out", "run"]
        if case.labels:
            words += ["--labels", "photos/labels.csv"]
        done = program.run(folder, *words, ordinary=case.ordinary)
        line = done.expect(command.code, *command.texts)
        if line and line not in seen:
            seen.append(line)
    return "; ".join(seen)
