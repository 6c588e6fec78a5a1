//! Files that nobody should write.

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
            assert!(message.contains(&format!("asks to call {named},")), "{message}");
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
