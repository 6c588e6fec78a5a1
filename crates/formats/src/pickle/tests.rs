use super::*;
use crate::{FormatErrorKind, budget::Budget};

fn budget() -> Budget {
    Budget::for_file_of(0)
}

fn load_all(bytes: &[u8]) -> Pickle<'_> {
    load(bytes, &mut budget()).unwrap()
}

fn error(bytes: &[u8]) -> FormatErrorKind {
    load(bytes, &mut budget()).expect_err("this is malformed")
}

fn root<'p>(pickle: &'p Pickle<'_>) -> &'p Value<'p> {
    pickle.get(pickle.root)
}

#[track_caller]
fn is(bytes: &[u8], expected: Value) {
    let pickle = load_all(bytes);
    assert_eq!(pickle.length, bytes.len());
    assert_eq!(*root(&pickle), expected);
}

#[test]
fn plain_values_of_all_protocols() {
    is(b"N.", Value::None);
    is(b"\x80\x02\x88.", Value::Bool(true));
    is(b"I01\n.", Value::Bool(true));
    is(b"I-12\n.", Value::Int(-12));
    is(b"L34L\n.", Value::Int(34));
    is(b"K\xff.", Value::Int(255));
    is(b"M\x01\x02.", Value::Int(0x201));
    is(b"J\xfe\xff\xff\xff.", Value::Int(-2));
    is(b"\x8a\x00.", Value::Int(0));
    is(b"\x8a\x02\x00\x80.", Value::Int(-32768));
    is(b"\x8a\x09\x01\0\0\0\0\0\0\0\x01.", Value::Long(b"\x01\0\0\0\0\0\0\0\x01"));
    is(b"F-0.5\n.", Value::Float(-0.5));
    is(b"G\x3f\xf8\0\0\0\0\0\0.", Value::Float(1.5));
    is(b"S'a\\'b\\x41'\n.", Value::Text("a'bA".into()));
    is(b"V\\u00e9\\d\n.", Value::Text("é\\d".into()));
    is(b"U\x02ab.", Value::Text("ab".into()));
    is(b"U\x01\xff.", Value::Bytes((&b"\xff"[..]).into()));
    is(b"X\x02\0\0\0\xc3\xa9.", Value::Text("é".into()));
    is(b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94.", Value::Text("a".into()));
    is(b"C\x01\xff.", Value::Bytes((&b"\xff"[..]).into()));
    // Protocol 2 has no bytes, and spells them as a call.
    let encoded = b"c_codecs\nencode\nX\x02\0\0\0\xc3\xa9X\x06\0\0\0latin1\x86R.";
    is(encoded, Value::Bytes((&b"\xe9"[..]).into()));
}

#[test]
fn containers() {
    let pickle = load_all(b"(lp0\nI1\naI2\na.");
    let items = pickle.items(pickle.root).unwrap();
    assert_eq!(items.iter().map(|&id| pickle.int(id).unwrap()).collect::<Vec<_>>(), [1, 2]);
    for dict in [
        &b"}(U\x01aK\x01U\x01bK\x02u."[..],
        b"(U\x01aK\x01U\x01bK\x02d.",
        b"}U\x01aK\x01sU\x01bK\x02s.",
        b"ccollections\nOrderedDict\n)R(U\x01aK\x01U\x01bK\x02u.",
        b"ccollections\nOrderedDict\n]U\x01aK\x01\x86aU\x01bK\x02\x86a\x85R.",
        b"ccollections\nOrderedDict\n}(U\x01aK\x01U\x01bK\x02u\x85R.",
        b"ccollections\ndefaultdict\nc__builtin__\nint\n\x85R(U\x01aK\x01U\x01bK\x02u.",
        b"c__main__\nMyDict\n)\x81(U\x01aK\x01U\x01bK\x02u.",
    ] {
        let pickle = load_all(dict);
        let entry = |key| pickle.entry(pickle.root, key).and_then(|id| pickle.int(id));
        assert_eq!((entry("a"), entry("b"), entry("c")), (Some(1), Some(2), None));
    }
    for set in [
        &b"\x8f(U\x01aU\x01b\x90."[..],
        b"(U\x01aU\x01b\x91.",
        b"c__builtin__\nset\n](U\x01aU\x01be\x85R.",
        b"cbuiltins\nfrozenset\n](U\x01aU\x01be\x85R.",
    ] {
        assert!(matches!(root(&load_all(set)), Value::Set(items) if items.len() == 2));
    }
}

#[test]
fn the_last_value_of_a_key_counts() {
    let pickle = load_all(b"}(U\x01aK\x01U\x01aK\x02u.");
    assert_eq!(pickle.entry(pickle.root, "a").and_then(|id| pickle.int(id)), Some(2));
}

#[test]
fn objects_are_records() {
    for object in [
        &b"c__main__\nNet\n)\x81}U\x01aK\x07sb."[..],
        b"\x80\x04\x8c\x08__main__\x8c\x03Net\x93)\x81}U\x01aK\x07sb.",
        b"c__main__\nNet\n)}\x92}U\x01aK\x07sb.",
        b"ccopy_reg\n_reconstructor\nc__main__\nNet\nc__builtin__\nobject\nN\x87R}U\x01aK\x07sb.",
        // Files from before 1.6 carry the class's source.
        b"(U\x06modulec__main__\nNet\nU\x06net.pyU\x03...tQ)\x81}U\x01aK\x07sb.",
    ] {
        let pickle = load_all(object);
        let record = pickle.record(pickle.root).unwrap();
        assert_eq!(pickle.class(record), "__main__.Net");
        assert_eq!(pickle.attribute(record, "a").and_then(|id| pickle.int(id)), Some(7));
    }
}

#[test]
fn other_calls_are_records() {
    for (bytes, name) in [
        (&b"c__main__\nMode\nU\x01a\x85R."[..], "__main__.Mode"),
        (b"cre\n_compile\nU\x01aK\x20\x86R.", "re._compile"),
        (b"cfunctools\npartial\nc__main__\nF\n\x85R(c__main__\nF\n)}NtbN0.", "functools.partial"),
    ] {
        let pickle = load_all(bytes);
        assert_eq!(pickle.class(pickle.record(pickle.root).unwrap()), name);
    }
    // Items are appended, and never used.
    let pickle = load_all(b"ccollections\ndeque\n)R(K\x01K\x02e.");
    assert_eq!(pickle.record(pickle.root).unwrap().elements.len(), 2);
}

#[test]
fn calls_are_refused_by_name() {
    for (bytes, name) in [
        (&b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."[..], "os.system"),
        (b"cposix\nsystem\nU\x02ls\x85R.", "posix.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "os.system"),
        (b"(S'ls'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'ls'\no.", "os.system"),
        (b"cbuiltins\neval\nU\x011\x85R.", "builtins.eval"),
        (b"c__builtin__\ngetattr\nU\x011\x85R.", "__builtin__.getattr"),
        (b"csubprocess\nPopen\nU\x02ls\x85R.", "subprocess.Popen"),
        (b"ctorch.hub\nload\nU\x02ls\x85R.", "torch.hub.load"),
        (b"ctorch.storage\n_load_from_bytes\nC\x01a\x85R.", "torch.storage._load_from_bytes"),
        // A built-in function that is no type.
        (b"cbuiltins\nexec\nU\x02ls\x85R.", "builtins.exec"),
        (b"ctypes\nFunctionType\n)R.", "types.FunctionType"),
        (b"cnumpy\nload\nU\x01a\x85R.", "numpy.load"),
        // A call whose result is discarded.
        (b"cos\nsystem\nU\x02ls\x85R0N.", "os.system"),
        // A name with control characters.
        (b"c\x1b[31mos\nsystem\nU\x02ls\x85R.", "\u{1b}[31mos.system"),
        // The function is the result of another call.
        (b"c__main__\nNet\n)\x81)R.", "something that is not a named function"),
    ] {
        match error(bytes) {
            FormatErrorKind::Call(called) => assert_eq!(called, name),
            other => panic!("{name}: {other}"),
        }
    }
    let message = error(b"cos\nsystem\nU\x02ls\x85R.").to_string();
    assert!(message.contains("calls os.system") && message.contains("nothing was run"));
    let message = error(b"c\x1b[31mos\nsystem\nU\x02ls\x85R.").to_string();
    assert!(message.contains("calls \\u{1b}[31mos.system"), "{message}");
}

#[test]
fn truncated_anywhere_is_an_error() {
    let whole = b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\0\0\0aG\x3f\xf8\0\0\0\0\0\0u.";
    load_all(whole);
    for end in 0..whole.len() {
        assert!(matches!(error(&whole[..end]), FormatErrorKind::Pickle(_)), "{end}");
    }
}

#[test]
fn malformations_are_errors() {
    for bytes in [
        &b""[..],
        b".",
        b"\x80\x06N.",
        b"\xff",
        b"h\x00.",
        b"t.",
        b"(N(\x85.",
        b"(0N00.",
        b"N(a.",
        b"Na.",
        b"NNs.",
        b"N)b.",
        b"}(Nu.",
        b"K\x01K\x02\x93.",
        b"c__main__\nNet",
        b"X\xff\xff\xff\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"X\x01\0\0\0\xff.",
        b"V\\uD800\n.",
        b"S'\\x4'\n.",
        b"Iabc\n.",
        b"ccollections\nOrderedDict\nN R.",
        b"ccollections\nOrderedDict\n]Na\x85R.",
        b"\x82\x01.",
        b"\x97.",
    ] {
        let kind = error(bytes);
        assert!(matches!(kind, FormatErrorKind::Pickle(_)), "{}: {kind}", bytes.escape_ascii());
    }
}

#[test]
fn cycles_are_allowed() {
    // A list in itself; a record in its own state.
    let pickle = load_all(b"]q\x00h\x00a.");
    assert_eq!(pickle.items(pickle.root), Some(&[pickle.root][..]));
    let pickle = load_all(b"c__main__\nNet\n)\x81q\x00}U\x01ah\x00sb.");
    let record = pickle.record(pickle.root).unwrap();
    assert_eq!(pickle.attribute(record, "a"), Some(pickle.root));
}

#[test]
fn deep_nesting_is_allowed() {
    // Tuples in tuples: neither reading nor dropping recurses.
    let mut bytes = b"N".to_vec();
    bytes.resize(50_001, 0x85);
    bytes.push(b'.');
    drop(load_all(&bytes));
}

#[test]
fn aliases_are_free() {
    // Each tuple holds the one before it twice: 2^60 leaves in 60 lists.
    let mut bytes = b"N".to_vec();
    for _ in 0..60 {
        bytes.extend(b"2\x86");
    }
    bytes.push(b'.');
    assert_eq!(load_all(&bytes).values().len(), 61);
}

#[test]
fn memory_is_bounded_by_the_size_of_the_file() {
    let mut of_one_byte = b"]".repeat(1 << 20);
    of_one_byte.push(b'.');
    let copies = {
        let mut bytes = b"](".to_vec();
        bytes.extend(b"N".repeat(10_000));
        bytes.extend(b"eq\x00");
        bytes.extend(b"cbuiltins\nset\nh\x00\x85R".repeat(10_000));
        bytes.push(b'.');
        bytes
    };
    let marks = b"(".repeat(1 << 20);
    let doubles = [b"N".to_vec(), b"2".repeat(1 << 21)].concat();
    let memo = (0..1u32 << 19).flat_map(|i| [&b"r"[..], &i.to_le_bytes()].concat());
    let memo = [b"N".to_vec(), memo.collect()].concat();
    for bytes in [of_one_byte, copies, marks, doubles, memo] {
        assert!(matches!(error(&bytes), FormatErrorKind::TooLarge));
    }
}

#[test]
fn a_long_name_is_not_looked_at_over_and_over() {
    let name = "a".repeat(1 << 16);
    // The function is recalled, called without arguments, and its result dropped.
    let call = b"h\x00)R0";
    let bytes = [b"c", name.as_bytes(), b"\nf\nq\x00", &call.repeat(1 << 12), b"."].concat();
    assert!(matches!(error(&bytes), FormatErrorKind::TooLarge));
}
