//! A table of paths and labels: CSV or TSV.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read},
    ops::ControlFlow,
    path::Path,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use resnet_formats::{Shown, brief};

use super::{
    layout::Part,
    list::{PhotoList, path_of},
    names::{self, Names},
    set::PhotoSet,
};
use crate::{
    DataError, PhotoSetError,
    error::{LISTED, counted},
};

/// Names of columns, in lower case.
const PATHS: [&str; 12] = [
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "image",
    "image_name",
    "image_path",
    "img",
    "img_path",
    "photo",
];
const LABELS: [&str; 6] = ["label", "labels", "class", "class_name", "target", "category"];
const SPLITS: [&str; 5] = ["split", "part", "set", "subset", "partition"];

/// Which columns have what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
}

/// The rows of a table.
struct Rows {
    /// Paths, as written and then as they exist, and labels in order of appearance.
    photos: PhotoList,
    classes: Vec<String>,
    parts: Vec<Part>,
    /// The line of each row.
    lines: Vec<u64>,
    has_header: bool,
}

/// The error about a line of a table.
fn wrong(file: &Path, line: impl Into<Option<u64>>, problem: impl Into<String>) -> DataError {
    let (file, line, problem) = (file.to_owned(), line.into(), problem.into());
    PhotoSetError::Table { file, line, problem }.into()
}

/// The data set of a table. Paths are relative to the root, unless the first that exists does so only
/// in the folder of the table.
pub(super) fn read(
    root: &Path,
    table: &Path,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<PhotoSet, DataError> {
    let mut rows = rows(table, progress)?;
    let parent = table.parent().unwrap_or(Path::new(""));
    let exists = |base: &Path| {
        (0..rows.photos.len()).find(|&row| found(base, rows.photos.bytes(row)).is_some())
    };
    let base = match exists(root) {
        Some(0) => root,
        in_root => match exists(parent) {
            Some(row) if in_root.is_none_or(|first| row < first) => parent,
            _ => root,
        },
    };
    rows.photos = existing(base, table, &rows, progress)?;
    let mut notes = Vec::new();
    let keep = unrepeated(table, &rows, &mut notes)?;
    let (classes, label_of) = numbered(&rows.classes);

    let mut parts = [(); 3].map(|()| PhotoList::new(base));
    for row in (0..rows.photos.len()).filter(|&row| keep[row]) {
        let label = label_of[rows.photos.labels()[row] as usize];
        parts[rows.parts[row] as usize].push(rows.photos.bytes(row), label);
    }
    parts.iter_mut().for_each(PhotoList::shrink);
    let [train, validation, test] = parts;
    if train.is_empty() {
        return Err(wrong(table, None, "no row is of the split train"));
    }
    let present = names::labels_in(&train);
    for (name, part) in [("val", &validation), ("test", &test)] {
        let foreign = names::labels_in(part);
        let foreign: Vec<&str> =
            foreign.difference(&present).map(|&label| classes[label as usize].as_str()).collect();
        if !foreign.is_empty() {
            return Err(Names::new(&classes).only_in(name, &foreign).into());
        }
        if !part.is_empty() {
            notes.extend(names::missing(name, &classes, part));
        }
    }
    notes.extend(names::similar(&classes));
    let [validation, test] =
        [validation, test].map(|list| Some(list).filter(|list| !list.is_empty()));
    Ok(PhotoSet { root: base.to_owned(), classes, train, validation, test, notes })
}

/// Reads a table. It is not read whole: it may have millions of rows.
fn rows(
    table: &Path,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Rows, DataError> {
    let io = || DataError::io("read", table);
    let mut input = BufReader::new(resnet_formats::open(table).map_err(io())?);
    let start = input.fill_buf().map_err(io())?;
    if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
        return Err(wrong(table, None, "it is UTF-16 text: save it as UTF-8"));
    }
    let first = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let delimiter = [b'\t', b',', b';'].into_iter().find(|byte| first.contains(byte));
    let newline: &'static [u8] = if first.contains(&b'\r') { b"\r\n" } else { b"\n" };
    let mark = if start.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    input.consume(mark);
    let delimiter = delimiter.unwrap_or(b',');
    let mut csv = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_reader(input.chain(newline));
    let mut record = ByteRecord::new();
    let mut labels: HashMap<String, u32> = HashMap::new();
    let mut rows = Rows {
        photos: PhotoList::default(),
        classes: Vec::new(),
        parts: Vec::new(),
        lines: Vec::new(),
        has_header: false,
    };
    let mut columns = None;
    loop {
        let more = csv.read_byte_record(&mut record);
        let line = line_of(&csv, &record, newline);
        if !more.map_err(|error| of_csv(table, line, &error))? {
            break;
        }
        let columns = match columns {
            Some(columns) => columns,
            None => {
                let (found, is_header) =
                    of_first_line(&record).map_err(|problem| wrong(table, line, problem))?;
                columns = Some(found);
                if is_header {
                    rows.has_header = true;
                    continue;
                }
                found
            }
        };
        let path = &record[columns.path];
        if path.is_empty() {
            return Err(wrong(table, line, "it has no path"));
        }
        let text = |column: usize| {
            let text = std::str::from_utf8(&record[column]).map(str::trim);
            text.map_err(|_| wrong(table, line, "its label is not UTF-8"))
        };
        let label = text(columns.label)?;
        if label.is_empty() {
            return Err(wrong(table, line, "it has no label"));
        }
        let split = columns.split.map(text).transpose()?;
        let part = split.map_or(Some(Part::Train), Part::named).ok_or_else(|| {
            let split = split.unwrap_or_default();
            wrong(table, line, format!("its split is `{}`, not train, val or test", brief(split)))
        })?;
        let label = match labels.get(label) {
            Some(&label) => label,
            None => {
                let next = labels.len() as u32;
                labels.insert(label.to_owned(), next);
                rows.classes.push(label.to_owned());
                next
            }
        };
        rows.photos.push(path, label);
        rows.parts.push(part);
        rows.lines.push(line);
        if rows.lines.len().is_multiple_of(1 << 12) {
            stop(progress(rows.lines.len()))?;
        }
    }
    if rows.photos.is_empty() {
        return Err(wrong(table, None, "it has no rows"));
    }
    Ok(rows)
}

/// The first line of the row that was read last. Every row ends with a new line.
fn line_of<R: Read>(csv: &Reader<R>, record: &ByteRecord, newline: &[u8]) -> u64 {
    // The \n after a \r is read with the next row.
    let last = csv.position().line() - u64::from(newline == b"\n");
    let within = record.as_slice().iter().filter(|&&byte| byte == b'\n').count();
    last.saturating_sub(within as u64)
}

fn stop(flow: ControlFlow<()>) -> Result<(), DataError> {
    if flow.is_break() { Err(PhotoSetError::Stopped.into()) } else { Ok(()) }
}

fn of_csv(table: &Path, line: u64, error: &csv::Error) -> DataError {
    let line = error.position().map(|_| line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "it has {len} columns, the first line {expected_len}: quote fields that have commas"
            )
        }
        _ => brief(&error.to_string()).to_string(),
    };
    wrong(table, line, problem)
}

/// The columns of a table by its first line, and whether that is a header. Without a header they are
/// path, label and perhaps split.
fn of_first_line(record: &ByteRecord) -> Result<(Columns, bool), String> {
    let names: Vec<String> =
        record.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
    let among = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
    let of = |path, label, split| Columns { path, label, split };
    match (among(&PATHS), among(&LABELS), names.len()) {
        (Some(path), Some(label), _) => Ok((of(path, label, among(&SPLITS)), true)),
        (_, _, 1) => {
            Err("it has one column, not a path and a label with a comma, semicolon or tab \
                          between them"
                .into())
        }
        (None, None, 2) => Ok((of(0, 1, None), false)),
        (None, None, 3) => Ok((of(0, 1, Some(2)), false)),
        (None, None, n) => Err(format!(
            "it has {n} columns: name them in a header, those that count path and label"
        )),
        (path, _, _) => Err(format!(
            "its header has no column {}: {}",
            if path.is_none() {
                "path (or file, filename, image)"
            } else {
                "label (or class, target)"
            },
            brief(&names.join(", "))
        )),
    }
}

/// The path of a photo as it exists below the base: as written, or without spaces around it, or with
/// slashes for the backslashes of Windows.
fn found(base: &Path, written: &[u8]) -> Option<Vec<u8>> {
    let exists = |name: &[u8]| fs::metadata(base.join(path_of(name))).is_ok_and(|m| m.is_file());
    let written = written.strip_prefix(b"./").unwrap_or(written);
    if exists(written) {
        return Some(written.to_vec());
    }
    let slashes: Vec<u8> =
        written.trim_ascii().iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    (slashes != written && exists(&slashes)).then_some(slashes)
}

/// The paths of all rows as they exist below the base.
fn existing(
    base: &Path,
    table: &Path,
    rows: &Rows,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<PhotoList, DataError> {
    let mut paths = PhotoList::new(base);
    let (mut missing, mut count, mut first_is_missing) = (Vec::new(), 0, false);
    for row in 0..rows.photos.len() {
        if row.is_multiple_of(1 << 12) {
            stop(progress(row))?;
        }
        let written = rows.photos.bytes(row);
        match found(base, written) {
            Some(name) => paths.push(&name, rows.photos.labels()[row]),
            None => {
                first_is_missing |= row == 0;
                count += 1;
                if missing.len() < LISTED {
                    let (name, line) = (path_of(written).shown(), rows.lines[row]);
                    missing.push(format!("{name} (line {line})"));
                }
            }
        }
    }
    if count > 0 {
        return Err(PhotoSetError::MissingPhotos {
            file: table.to_owned(),
            base: base.to_owned(),
            is_header: count == 1 && first_is_missing && !rows.has_header,
            missing,
            count,
            rows: rows.photos.len(),
        }
        .into());
    }
    Ok(paths)
}

/// Which rows are kept: of equal ones, the first. A photo with two labels, or in two parts, is an error.
fn unrepeated(table: &Path, rows: &Rows, notes: &mut Vec<String>) -> Result<Vec<bool>, DataError> {
    let paths = &rows.photos;
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by(|&a, &b| paths.bytes(a).cmp(paths.bytes(b)));
    let mut keep = vec![true; paths.len()];
    let mut repeated = 0;
    for pair in order.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        if paths.bytes(a) != paths.bytes(b) {
            continue;
        }
        let [label_a, label_b] = [a, b].map(|row| &rows.classes[paths.labels()[row] as usize]);
        let name = paths.name(a).shown();
        if label_a != label_b {
            let before = format!("{} in line {}", brief(label_a), rows.lines[a]);
            let problem =
                format!("{name} is {} here and {before}: one photo has one label", brief(label_b));
            return Err(wrong(table, rows.lines[b], problem));
        }
        if rows.parts[a] != rows.parts[b] {
            let problem = format!("{name} is of another split in line {}", rows.lines[a]);
            return Err(wrong(table, rows.lines[b], problem));
        }
        keep[b] = false;
        repeated += 1;
    }
    if repeated > 0 {
        notes.push(format!(
            "{} names {} twice: each counts once",
            table.shown(),
            counted(repeated)
        ));
    }
    Ok(keep)
}

/// The classes in label order, and the label of each by its place before. Whole numbers are sorted by
/// value, names by their bytes.
fn numbered(classes: &[String]) -> (Vec<String>, Vec<u32>) {
    let values: Option<Vec<u64>> = classes.iter().map(|class| class.parse().ok()).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    match values {
        Some(values) => order.sort_by_key(|&class| (values[class], &classes[class])),
        None => order.sort_by_key(|&class| &classes[class]),
    }
    let mut label_of = vec![0; classes.len()];
    for (label, &class) in (0..).zip(&order) {
        label_of[class] = label;
    }
    (order.into_iter().map(|class| classes[class].clone()).collect(), label_of)
}
