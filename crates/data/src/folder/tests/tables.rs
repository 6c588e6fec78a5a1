//! Tables of paths and labels.

use super::*;

fn folder() -> Folder {
    Folder::new(&["a.jpg", "b.jpg", "sub/c, d.jpg", "sub/e.jpg"])
}

#[test]
fn tables_have_many_forms() {
    let expected = ["cat: a.jpg sub/c, d.jpg", "dog: b.jpg"];
    for table in [
        "path,label\na.jpg,cat\nb.jpg,dog\n\"sub/c, d.jpg\",cat\n",
        "a.jpg,cat\nb.jpg,dog\n\"sub/c, d.jpg\",cat",
        "\u{feff}File,Class\r\na.jpg,cat\r\nb.jpg,dog\r\n\"sub/c, d.jpg\",cat\r\n",
        "target;image;width\ncat;a.jpg;3\ndog;./b.jpg;\"4\"\n\ncat;sub/c, d.jpg;5\n",
        "filename\tlabel\na.jpg\tcat\nb.jpg\tdog\nsub\\c, d.jpg\tcat\n",
        "a.jpg, cat\nb.jpg , dog\n\"sub/c, d.jpg\",cat\na.jpg,cat\n",
    ] {
        let set = folder().table(table).unwrap();
        assert_eq!(photos(&set, &set.train), expected, "{table:?}");
        assert_eq!(set.train.labels(), [0, 1, 0]);
    }
    let notes = folder().table("a.jpg,x\nb.jpg,y\na.jpg,x\n").unwrap().notes;
    assert!(
        notes.len() == 1 && notes[0].ends_with("names 1 photo twice: each counts once"),
        "{notes:?}"
    );
}

#[test]
fn numeric_labels_are_sorted_by_value() {
    let set = folder().table("a.jpg,10\nb.jpg,2\nsub/e.jpg,9\n").unwrap();
    assert_eq!(
        (&set.classes[..], set.train.labels()),
        (&["2", "9", "10"].map(str::to_owned)[..], &[2, 0, 1][..])
    );
    let set = folder().table("a.jpg,10\nb.jpg,2\nsub/e.jpg,x\n").unwrap();
    assert_eq!(set.classes, ["10", "2", "x"]);
}

#[test]
fn a_column_divides_the_photos() {
    let table = "path,label,split\na.jpg,x,train\nb.jpg,y,Train\nsub/e.jpg,y,val\n\"sub/c, d.jpg\",x,test\n";
    for table in [table, table.split_once('\n').unwrap().1] {
        let set = folder().table(table).unwrap();
        assert_eq!(photos(&set, &set.train), ["x: a.jpg", "y: b.jpg"]);
        assert_eq!(photos(&set, set.validation.as_ref().unwrap()), ["y: sub/e.jpg"]);
        assert_eq!(photos(&set, set.test.as_ref().unwrap()), ["x: sub/c, d.jpg"]);
        assert_eq!(set.notes, ["val has no photos of x", "test has no photos of y"]);
    }
}

#[test]
fn paths_may_be_relative_to_the_table() {
    let photos = Folder::new(&["a.jpg", "b.jpg"]);
    photos.write("labels.csv", "a.jpg,x\nb.jpg,y\n");
    let other = Folder::new(&["z.jpg"]);
    let set = PhotoSet::open(other.0.path(), Some(&photos.path("labels.csv"))).unwrap();
    assert_eq!(set.train.path(1), photos.path("b.jpg"));
    // Absolute paths are what they are.
    let name = photos.path("a.jpg");
    let set = other.table(&format!("{},x\nz.jpg,y\n", name.to_str().unwrap())).unwrap();
    assert_eq!([set.train.path(0), set.train.path(1)], [name, other.path("z.jpg")]);
}

#[test]
fn errors_name_the_line() {
    for (table, error) in [
        ("", "ROOT/labels.csv: it has no rows"),
        ("path,label\n", "ROOT/labels.csv: it has no rows"),
        ("a.jpg\nb.jpg\n", "line 1: it has one column, not a path and a label"),
        (
            "a.jpg,x\nb.jpg,y,z\n",
            "line 2: it has 3 columns, the first line 2: quote fields that have commas",
        ),
        (
            "path,breed\na.jpg,x\n",
            "line 1: its header has no column label (or class, target): path, breed",
        ),
        (
            "id,label\na.jpg,x\n",
            "line 1: its header has no column path (or file, filename, image): id, label",
        ),
        ("a.jpg,x,train,4\n", "line 1: it has 4 columns: name them in a header"),
        ("a.jpg,x\n,y\n", "line 2: it has no path"),
        ("path,label\na.jpg,x\nb.jpg, \n", "line 3: it has no label"),
        (
            "a.jpg,x,train\nb.jpg,y,holdout\n",
            "line 2: its split is `holdout`, not train, val or test",
        ),
        ("a.jpg,x,val\nb.jpg,y,val\n", "ROOT/labels.csv: no row is of the split train"),
        (
            "a.jpg,x\nb.jpg,y\n./a.jpg,y\n",
            "line 3: a.jpg is y here and x in line 1: one photo has one label",
        ),
        (
            "a.jpg,x,train\nb.jpg,y,train\na.jpg,x,val\n",
            "line 3: a.jpg is of another split in line 1",
        ),
        (
            "a.jpg,x,train\nb.jpg,y,train\nsub/e.jpg,Y,val\n",
            "val has photos of Y, which train has not: train has y",
        ),
        ("a.jpg,x\nb.jpg,x\n", "ROOT has photos of one class, x: there is nothing to learn"),
        (
            "a.jpg,x\nno.jpg,y\nsub,y\nb.jpg,y\n",
            "2 of the 4 photos in ROOT/labels.csv are missing: no.jpg (line 2), sub (line 3). Paths are \
             relative to ROOT",
        ),
        (
            "id,breed\na.jpg,x\nb.jpg,y\n",
            "; is the first line a header? Name its columns path and label",
        ),
    ] {
        for table in [table.to_owned(), table.replace('\n', "\r\n")] {
            let message = folder().table_error(&table);
            assert!(message.contains(error), "{table:?}: {message}");
        }
    }
    let rows: String = (0..9).map(|i| format!("{i}.jpg,x\n")).collect();
    assert!(
        folder()
            .table_error(&rows)
            .contains("9 of the 9 photos in ROOT/labels.csv are missing: 0.jpg (line 1)")
    );
    assert!(folder().table_error(&rows).contains("4.jpg (line 5) and 4 more. Paths"));

    let folder = folder();
    fs::write(folder.path("wide.csv"), b"\xFF\xFEa\0").unwrap();
    fs::write(folder.path("latin.csv"), b"a.jpg,caf\xe9\n").unwrap();
    let error = |name| folder.shown(PhotoSet::open(folder.0.path(), Some(&folder.path(name))));
    assert_eq!(error("wide.csv"), "ROOT/wide.csv: it is UTF-16 text: save it as UTF-8");
    assert_eq!(error("latin.csv"), "ROOT/latin.csv, line 1: its label is not UTF-8");
    assert!(error("none.csv").starts_with("cannot read ROOT/none.csv"));
}
