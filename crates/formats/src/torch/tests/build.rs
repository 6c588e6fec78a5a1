//! Makes files by hand.

use crate::zip::Writer;

/// A piece of a pickle that makes one value.
pub(super) type Code = Vec<u8>;

pub(super) fn none() -> Code {
    b"N".to_vec()
}

pub(super) fn text(text: &str) -> Code {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub(super) fn int(value: i64) -> Code {
    [&b"\x8a\x08"[..], &value.to_le_bytes()].concat()
}

pub(super) fn float(value: f64) -> Code {
    [&b"G"[..], &value.to_be_bytes()].concat()
}

pub(super) fn global(name: &str) -> Code {
    let (module, name) = name.rsplit_once('.').unwrap();
    format!("c{module}\n{name}\n").into_bytes()
}

pub(super) fn tuple(items: &[Code]) -> Code {
    [&b"("[..], &items.concat(), b"t"].concat()
}

pub(super) fn list(items: &[Code]) -> Code {
    [&b"("[..], &items.concat(), b"l"].concat()
}

pub(super) fn ints(values: &[usize]) -> Code {
    tuple(&values.iter().map(|&value| int(value as i64)).collect::<Vec<_>>())
}

pub(super) fn keyed(pairs: &[(Code, Code)]) -> Code {
    let pairs = pairs.iter().map(|(key, value)| [&key[..], value].concat());
    [&b"}("[..], &pairs.collect::<Vec<_>>().concat(), b"u"].concat()
}

pub(super) fn dict(pairs: &[(&str, Code)]) -> Code {
    keyed(&pairs.iter().map(|(key, value)| (text(key), value.clone())).collect::<Vec<_>>())
}

pub(super) fn call(function: &str, args: &[Code]) -> Code {
    [global(function), tuple(args), b"R".to_vec()].concat()
}

/// An object and its attributes.
pub(super) fn object(class: &str, state: &[(&str, Code)]) -> Code {
    [global(class), b")\x81".to_vec(), dict(state), b"b".to_vec()].concat()
}

pub(super) fn storage(class: &str, key: &str, count: usize) -> Code {
    let args = [text("storage"), global(class), text(key), text("cpu"), int(count as i64)];
    [tuple(&args), b"Q".to_vec()].concat()
}

/// A view of a storage.
pub(super) fn view(storage: Code, offset: usize, shape: &[usize], strides: &[usize]) -> Code {
    let args = [storage, int(offset as i64), ints(shape), ints(strides), none(), none()];
    call("torch._utils._rebuild_tensor_v2", &args)
}

/// The tensor `[1.0]`, whose storage [`file`] adds.
pub(super) fn one() -> Code {
    view(storage("torch.FloatStorage", "one", 1), 0, &[1], &[1])
}

pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for (name, contents) in files {
        writer.add_bytes(name, contents).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// A file in zip form.
pub(super) fn file(code: Code, storages: &[(&str, &[u8])]) -> Vec<u8> {
    let pickle = [b"\x80\x02".to_vec(), code, b".".to_vec()].concat();
    let one = 1f32.to_le_bytes();
    let names: Vec<_> = storages.iter().map(|(key, _)| format!("x/data/{key}")).collect();
    let mut files = vec![("x/data.pkl", &pickle[..]), ("x/data/one", &one)];
    files.extend(names.iter().zip(storages).map(|(name, (_, bytes))| (&name[..], *bytes)));
    zip(&files)
}

/// A file in legacy form.
pub(super) fn legacy(code: Code, storages: &[(&str, usize, &[u8])]) -> Vec<u8> {
    let pickle = |code: Code| [b"\x80\x02".to_vec(), code, b".".to_vec()].concat();
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19".to_vec();
    let keys = list(&storages.iter().map(|(key, ..)| text(key)).collect::<Vec<_>>());
    let mut bytes = [magic, int(1001), dict(&[]), code, keys].map(pickle).concat();
    for (_, count, data) in storages {
        bytes.extend((*count as i64).to_le_bytes());
        bytes.extend(*data);
    }
    bytes
}
