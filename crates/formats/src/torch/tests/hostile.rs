//! Hostile files: each is refused with a message.

use super::{build::*, *};

fn error(code: Code) -> FormatErrorKind {
    let bytes = [0; 16];
    from_bytes(&file(code, &[("0", &bytes)])).unwrap_err()
}

#[track_caller]
fn refused(tensor: Code, why: &str) {
    let error = error(dict(&[("a", tensor)])).to_string();
    assert!(error.contains(why), "{error}");
}

fn four() -> Code {
    storage("torch.FloatStorage", "0", 4)
}

#[test]
fn a_file_that_calls_the_shell_is_refused_by_name() {
    for (function, named) in [
        ("os.system", "os.system"),
        ("posix.system", "os.system (posix.system)"),
        ("builtins.exec", "builtins.exec"),
        ("builtins.getattr", "builtins.getattr"),
    ] {
        let call = call(function, &[text("echo owned")]);
        for bytes in
            [file(dict(&[("a", one()), ("b", call.clone())]), &[]), legacy(call.clone(), &[])]
        {
            let message = from_bytes(&bytes).unwrap_err().to_string();
            assert!(message.contains(&format!("calls {named},")), "{message}");
        }
    }
}

#[test]
fn views_beyond_their_storage_are_errors() {
    let beyond = "'a' that reaches beyond its storage";
    refused(view(four(), 1, &[4], &[1]), beyond);
    refused(view(four(), 0, &[2, 2], &[3, 1]), beyond);
    refused(view(four(), 4, &[1], &[1]), beyond);
    refused(view(four(), i64::MAX as usize, &[2, 2], &[i64::MAX as usize, 3]), beyond);
    refused(view(four(), 0, &[2], &[1, 1]), "shape and strides differ in length");
    refused(view(four(), 0, &[usize::MAX, 4], &[1, 1]), "whose shape is malformed");
    refused(view(four(), 0, &[1 << 62, 4], &[0, 0]), "of an impossible shape");
    refused(view(storage("torch.FloatStorage", "0", 5), 0, &[1], &[1]), "not as long as");
    refused(view(storage("torch.FloatStorage", "1", 4), 0, &[1], &[1]), "missing storage 1");
    refused(view(storage("torch.NoStorage", "0", 4), 0, &[1], &[1]), "storage is malformed");
    refused(view(none(), 0, &[1], &[1]), "storage is malformed");
}

#[test]
fn absurd_shapes_are_not_allocated() {
    for count in [1 << 40, 1 << 60, (1 << 62) - 1] {
        let tensor = view(four(), 0, &[count], &[0]);
        assert!(matches!(error(dict(&[("a", tensor)])), FormatErrorKind::TooLarge));
    }
    // Nor are many of a modest one.
    let megabyte = view(four(), 0, &[1 << 18], &[0]);
    let many: Vec<_> = (0..100).map(|i| (text(&i.to_string()), megabyte.clone())).collect();
    assert!(matches!(error(keyed(&many)), FormatErrorKind::TooLarge));
}

#[test]
fn modules_in_themselves_are_errors() {
    // m._modules = {"m": m}
    let attributes = [text("_parameters"), b"}".to_vec(), text("_modules")].concat();
    let modules = [&b"}"[..], &text("m"), b"h\x00s"].concat();
    let code =
        [global("__main__.Net"), b")\x81q\x00}(".to_vec(), attributes, modules, b"ub".to_vec()];
    let message = error(code.concat()).to_string();
    assert!(message.contains("nested too deeply"), "{message}");
}

#[test]
fn modules_that_double_are_errors() {
    // Each holds the one before it twice: 2^60 leaves in 60 modules.
    let mut code = b"}".to_vec();
    for _ in 0..60 {
        code.extend(b"q\x000");
        code.extend(global("__main__.Net"));
        code.extend(b")\x81}(");
        code.extend([text("_parameters"), b"}".to_vec(), text("_modules")].concat());
        code.extend([&b"}("[..], &text("a"), b"h\x00", &text("b"), b"h\x00u"].concat());
        code.extend(b"ub");
    }
    assert!(matches!(error(code), FormatErrorKind::Pickle(_) | FormatErrorKind::TooLarge));
}

#[test]
fn legacy_files_are_checked() {
    let code = || dict(&[("a", view(storage("torch.FloatStorage", "k", 2), 0, &[2], &[1]))]);
    let data = [0; 8];
    let whole = legacy(code(), &[("k", 2, &data)]);
    assert_eq!(from_bytes(&whole).unwrap().model.len(), 1);
    for end in 0..whole.len() {
        assert!(from_bytes(&whole[..end]).is_err(), "{end}");
    }
    let error = |storages: &[(&str, usize, &[u8])]| from_bytes(&legacy(code(), storages));
    assert!(matches!(error(&[("k", 3, &data)]), Err(FormatErrorKind::Size { .. })));
    assert!(matches!(error(&[("k", 1, &data)]), Err(FormatErrorKind::Size { .. })));
    assert!(matches!(error(&[("k", usize::MAX, &data)]), Err(FormatErrorKind::Size { .. })));
    assert!(matches!(error(&[("k", 1 << 62, &data)]), Err(FormatErrorKind::Size { .. })));
    let twice: [(_, _, &[u8]); 2] = [("k", 2, &data), ("k", 2, &data)];
    assert!(error(&twice).unwrap_err().to_string().contains("two storages have one name"));
    assert!(error(&[("other", 2, &data)]).unwrap_err().to_string().contains("in no tensor"));
    assert!(error(&[]).unwrap_err().to_string().contains("missing storage k"));
}

/// Values that are stored once, and recalled from the memo by [`shared`].
fn memo(values: &[Code]) -> Code {
    let store = |(key, code): (u8, &Code)| [code, &b"q"[..], &[key], b"0"].concat();
    (0..).zip(values).flat_map(store).collect()
}

/// A dict of `count` entries, all of them one key and one value of the memo.
fn shared(key: u8, value: u8, count: usize) -> Code {
    [&b"}("[..], &[b'h', key, b'h', value].repeat(count), b"u"].concat()
}

const MANY: usize = 50_000;

#[test]
fn what_is_in_many_places_is_paid_for_in_each() {
    let key = text("k");
    // Tensors and one value that is none, so that all must be looked at.
    let spoilt = [shared(0, 1, MANY), text("z"), b"Ns".to_vec()].concat();
    let dicts = [memo(&[key.clone(), one(), spoilt]), shared(0, 2, MANY)].concat();
    // Objects that share their attributes.
    let objects = [
        memo(&[key.clone(), none(), shared(0, 1, MANY), global("a.B")]),
        b"}(".to_vec(),
        b"h\x00h\x03)\x81h\x02b".repeat(MANY / 4),
        b"u".to_vec(),
    ];
    let module = object("a.Net", &[("_parameters", b"h\x02".to_vec()), ("_modules", dict(&[]))]);
    let modules = object("a.Net", &[("_parameters", dict(&[])), ("_modules", shared(0, 3, MANY))]);
    let modules = [memo(&[key.clone(), none(), shared(0, 1, MANY), module]), modules].concat();
    for code in [dicts, objects.concat(), modules] {
        assert!(matches!(error(code), FormatErrorKind::TooLarge));
    }
}

#[test]
fn long_names_in_many_places_are_paid_for_in_each() {
    let name = "n".repeat(1 << 20);
    let long = storage("torch.FloatStorage", &name, 1);
    let tuple = &long[..long.len() - 1];
    let code = [memo(&[tuple.to_vec()]), b"(".to_vec(), b"h\x00Q".repeat(MANY), b"l".to_vec()];
    let error = from_bytes(&legacy(code.concat(), &[])).unwrap_err();
    assert!(matches!(error, FormatErrorKind::TooLarge), "{error}");
    let tensor = view(long, 0, &[1], &[1]);
    let tensors = (0..1000).map(|i| (text(&i.to_string()), b"h\x00".to_vec()));
    let code = [memo(&[tensor]), keyed(&tensors.collect::<Vec<_>>())].concat();
    let error = from_bytes(&legacy(code, &[(&name, 1, &[0; 4])])).unwrap_err();
    assert!(matches!(error, FormatErrorKind::TooLarge), "{error}");
}

#[test]
fn a_tensor_has_few_dimensions() {
    refused(view(four(), 0, &[1; 65], &[1; 65]), "'a' of more than 64 dimensions");
    let most = file(dict(&[("a", view(four(), 3, &[1; 64], &[7; 64]))]), &[("0", &[0; 16])]);
    assert_eq!(from_bytes(&most).unwrap().model[0].1.shape, [1; 64]);
}

#[test]
fn numbers_are_short() {
    let dtype = call("numpy.dtype", &[text("f8"), int(0), int(1)]);
    let bytes = [&b"B"[..], &(1_u32 << 20).to_le_bytes(), &[0; 1 << 20]].concat();
    let number = call("numpy.core.multiarray.scalar", &[dtype, bytes]);
    let model = [text("model"), dict(&[("a", one())])].concat();
    let code =
        [memo(&[text("k"), number]), shared(0, 1, MANY), b"(".to_vec(), model, b"u".to_vec()];
    let found = from_bytes(&file(code.concat(), &[])).unwrap();
    assert_eq!((found.model.len(), found.scalars), (1, vec![]));
}
