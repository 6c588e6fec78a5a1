//! Labelled rows of bytes in a pickled dict, as in the Python version of CIFAR-10.

use std::borrow::Cow;

use crate::{
    FormatErrorKind,
    budget::Budget,
    pickle::{self, Id, Pickle, Value},
};

/// Rows of bytes, and a label for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledRows<'a> {
    /// The rows, one behind the other.
    pub rows: Cow<'a, [u8]>,
    /// Labels.
    pub labels: Vec<u8>,
}

impl<'a> LabelledRows<'a> {
    /// Reads a pickle of `{"data": numpy.ndarray, key: list, ...}`, whose array is of `uint8`,
    /// `[number of labels][width]`, in C order; `key` is that of the labels. Nothing in the pickle is run.
    ///
    /// # Errors
    /// If the pickle is damaged, calls functions that no such file needs, or is something else.
    pub fn from_pickle(bytes: &'a [u8], key: &str, width: usize) -> Result<Self, FormatErrorKind> {
        let mut budget = Budget::for_file_of(bytes.len());
        let pickle = pickle::load(bytes, &mut budget)?;
        let other = |what: &str| FormatErrorKind::Pickle(format!("{what} in its dict"));
        let labels =
            entry(&pickle, pickle.root, key.as_bytes()).and_then(|labels| pickle.items(labels));
        let labels = labels.ok_or_else(|| other(&format!("there is no list '{key}'")))?;
        budget.look(labels.len())?;
        let label = |&id: &Id| pickle.int(id).and_then(|label| u8::try_from(label).ok());
        let labels: Option<Vec<u8>> = labels.iter().map(label).collect();
        let labels =
            labels.ok_or_else(|| other(&format!("'{key}' has something that is not a class")))?;
        let data = entry(&pickle, pickle.root, b"data");
        let data = data.and_then(|data| array(&pickle, data, [labels.len(), width]));
        let rows = data.ok_or_else(|| {
            let shape = format!("{} x {width}", labels.len());
            other(&format!("'data' is not a NumPy array of uint8, {shape}, in C order,"))
        })?;
        if let Cow::Owned(rows) = rows {
            budget.take(rows.len())?;
        }
        Ok(LabelledRows { rows: rows.clone(), labels })
    }
}

/// The value of a key, which is bytes or text: Python 2 has one type for both.
fn entry(pickle: &Pickle<'_>, dict: Id, key: &[u8]) -> Option<Id> {
    let is_key = |id| match pickle.get(id) {
        Value::Text(text) => text.as_bytes() == key,
        Value::Bytes(bytes) => &bytes[..] == key,
        _ => false,
    };
    let pairs = pickle.pairs(dict)?;
    pairs.iter().rev().find(|&&(found, _)| is_key(found)).map(|&(_, value)| value)
}

/// The bytes of an array: `_reconstruct(ndarray, ...)` with the state (version, shape, dtype, whether
/// in Fortran order, bytes).
fn array<'p, 'a>(pickle: &'p Pickle<'a>, id: Id, shape: [usize; 2]) -> Option<&'p Cow<'a, [u8]>> {
    let record = pickle
        .record(id)
        .filter(|record| pickle.class(record).ends_with(".multiarray._reconstruct"))?;
    let class = pickle.global(*pickle.items(record.args)?.first()?)?;
    let [_, dimensions, dtype, is_fortran, bytes] = pickle.items(record.state?)? else {
        return None;
    };
    let dtype = pickle.record(*dtype).filter(|dtype| pickle.class(dtype) == "numpy.dtype")?;
    let dtype = pickle.text(*pickle.items(dtype.args)?.first()?)?;
    let dimensions = pickle.items(*dimensions)?.iter().map(|&id| pickle.int(id));
    let is_shape = dimensions.eq(shape.map(|length| i64::try_from(length).ok()));
    let is_right = class == "numpy.ndarray"
        && ["u1", "|u1"].contains(&dtype)
        && is_shape
        && *pickle.get(*is_fortran) == Value::Bool(false);
    match pickle.get(*bytes) {
        Value::Bytes(bytes) if is_right && Some(bytes.len()) == shape[0].checked_mul(shape[1]) => {
            Some(bytes)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{'labels': [3, 9], 'data': numpy.array([[1, 2, 255], [4, 5, 6]], 'u1')}` as Python 2 writes it
    /// with protocol 2.
    const PYTHON_2: &[u8] = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x03K\x09eU\x04dataq\x04\
        cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07\
        (K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNN\
        J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x01\x02\xff\x04\x05\x06tbu.";

    /// The same as Python 3 writes it with protocol 3, with keys of bytes.
    const PYTHON_3: &[u8] = b"\x80\x03}q\x01(C\x06labelsq\x02]q\x03(K\x03K\x09eC\x04dataq\x04\
        cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85C\x01b\x87Rq\x07\
        (K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x08X\x02\x00\x00\x00u1\x89\x88\x87Rq\x09(K\x03\
        X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x06\x01\x02\xff\x04\x05\x06tbu.";

    fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
        let at =
            PYTHON_2.windows(from.len()).position(|window| window == from).expect("it is there");
        [&PYTHON_2[..at], to, &PYTHON_2[at + from.len()..]].concat()
    }

    #[test]
    fn both_pythons_files_are_read() {
        for bytes in [PYTHON_2, PYTHON_3] {
            let LabelledRows { rows, labels } =
                LabelledRows::from_pickle(bytes, "labels", 3).unwrap();
            assert_eq!((&rows[..], &labels[..]), (&[1, 2, 255, 4, 5, 6][..], &[3, 9][..]));
            assert!(matches!(rows, Cow::Borrowed(_)));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (bytes, complaint) in [
            (replaced(b"labels", b"label_"), "no list 'labels'"),
            (replaced(b"K\x03K\x09e", b"K\x03K\x09K\x01e"), "'data' is not"),
            (replaced(b"K\x03K\x09e", b"K\x03J\xff\xff\xff\xffe"), "not a class"),
            (replaced(b"data", b"dato"), "'data' is not"),
            (replaced(b"u1", b"i1"), "'data' is not"),
            (replaced(b"K\x02K\x03\x86", b"K\x03K\x02\x86"), "2 x 3"),
            (replaced(b"tb\x89U", b"tb\x88U"), "in C order"),
            (
                replaced(b"U\x06\x01\x02\xff\x04\x05\x06", b"U\x05\x01\x02\xff\x04\x05"),
                "'data' is not",
            ),
            (replaced(b"cnumpy\nndarray", b"cnumpy\nmemmap"), "'data' is not"),
            (replaced(b"_reconstruct", b"_rebuild"), "'data' is not"),
            (PYTHON_2[..PYTHON_2.len() - 1].to_vec(), "it ends too early"),
            (b"x\n".to_vec(), "damaged pickle"),
            (Vec::new(), "damaged pickle"),
        ] {
            let error = LabelledRows::from_pickle(&bytes, "labels", 3).unwrap_err().to_string();
            assert!(error.contains(complaint), "{complaint}: {error}");
        }
    }
}
