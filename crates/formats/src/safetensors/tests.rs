use super::*;

fn sample() -> (NamedTensors, Metadata) {
    let tensors = vec![
        ("conv1.weight".into(), Tensor::f32(&[1, 3, 1, 1], vec![1.0, -0.5, f32::MIN_POSITIVE])),
        ("bn1.num_batches_tracked".into(), Tensor::scalar_i64(1 << 40)),
        ("empty".into(), Tensor::f32(&[0, 7], vec![])),
        ("a".into(), Tensor::f32(&[2], vec![f32::NAN, f32::INFINITY])),
    ];
    let metadata = [("format_version", "1"), ("classes", "[\"a\",\"ü\"]"), ("b", "")];
    (tensors, metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
}

fn sample_bytes() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.safetensors");
    let (tensors, metadata) = sample();
    write(&path, &tensors, &metadata).unwrap();
    std::fs::read(path).unwrap()
}

/// A file with this header and `data` zero bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn error(bytes: &[u8]) -> FormatErrorKind {
    from_bytes(bytes).expect_err("this is malformed")
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    match &tensor.data {
        Data::F32(values) => values.iter().map(|v| u64::from(v.to_bits())).collect(),
        Data::I64(values) => values.iter().map(|&v| v as u64).collect(),
    }
}

#[test]
fn what_is_written_is_read() {
    let (tensors, metadata) = sample();
    let (mut read, read_metadata) = from_bytes(&sample_bytes()).unwrap();
    assert_eq!(read_metadata, metadata);
    // Integers come first in the file.
    read.swap(0, 1);
    assert_eq!(read.len(), tensors.len());
    for (name, tensor) in &tensors {
        let (_, found) = read.iter().find(|(n, _)| n == name).unwrap();
        assert_eq!((&found.shape, bits(found)), (&tensor.shape, bits(tensor)), "{name}");
    }
}

#[test]
fn equal_input_gives_equal_bytes() {
    assert!((0..8).all(|_| sample_bytes() == sample_bytes()));
}

#[test]
fn tensors_are_aligned_to_their_type() {
    let bytes = sample_bytes();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header % 8, 0);
    for (name, info) in metadata.tensors() {
        assert_eq!(info.data_offsets.0 % (info.dtype.bitsize() / 8), 0, "{name}");
    }
}

#[test]
fn the_reference_implementation_reads_it() {
    let bytes = sample_bytes();
    let view = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = view.tensor("conv1.weight").unwrap();
    assert_eq!(tensor.shape(), [1, 3, 1, 1]);
    assert_eq!(tensor.data()[..4], 1f32.to_le_bytes());
}

#[test]
fn truncated_anywhere_is_an_error() {
    let bytes = sample_bytes();
    for end in 0..bytes.len() {
        let kind = error(&bytes[..end]);
        assert!(
            matches!(kind, FormatErrorKind::TruncatedHeader { .. } | FormatErrorKind::Size { .. }),
            "{end}: {kind:?}"
        );
    }
}

#[test]
fn trailing_data_is_an_error() {
    let mut bytes = sample_bytes();
    bytes.push(0);
    assert!(matches!(error(&bytes), FormatErrorKind::Size { size } if size == bytes.len()));
}

#[test]
fn an_absurd_header_length_is_an_error() {
    for length in [100_000_001, u64::MAX, u64::MAX - 7, 1 << 63] {
        let mut bytes = sample_bytes();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(error(&bytes), FormatErrorKind::HeaderTooLarge), "{length}");
    }
}

#[test]
fn a_header_that_is_not_utf8_or_json_is_an_error() {
    let mut bytes = sample_bytes();
    bytes[20] = 0xff;
    assert!(matches!(error(&bytes), FormatErrorKind::Header(m) if m.contains("UTF-8")));
    for header in ["", "[]", "{", "{\"a\":1}", "null", "{\"a\":{\"dtype\":\"F99\"}}", "[[[["] {
        assert!(matches!(error(&file(header, 0)), FormatErrorKind::Header(_)), "{header}");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let header = format!("{{\"a\":{}", "[".repeat(200_000));
    assert!(matches!(error(&file(&header, 0)), FormatErrorKind::Header(_)));
}

#[test]
fn duplicate_names_are_an_error() {
    let twice = r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert!(matches!(error(&file(twice, 4)), FormatErrorKind::DuplicateName(n) if n == "a"));
    let metadata = r#"{"__metadata__":{"it's":"1","it's":"2"}}"#;
    assert!(matches!(error(&file(metadata, 0)), FormatErrorKind::DuplicateName(n) if n == "it's"));
}

#[test]
fn overlaps_and_gaps_are_errors() {
    let two = |start, end| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"b":{{"dtype":"F32","shape":[1],"data_offsets":[{start},{end}]}}}}"#
        )
    };
    assert!(from_bytes(&file(&two(4, 8), 8)).is_ok());
    for (start, end) in [(0, 4), (2, 6), (8, 12), (8, 4)] {
        let kind = error(&file(&two(start, end), end.max(8)));
        assert!(matches!(kind, FormatErrorKind::Offset(_)), "{start} {end}: {kind:?}");
    }
}

#[test]
fn absurd_shapes_are_errors() {
    let one = |shape: &str| {
        file(&format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}}}"#), 4)
    };
    assert!(from_bytes(&one("[1,1]")).is_ok());
    assert!(matches!(error(&one("[2]")), FormatErrorKind::ShapeAndSize));
    assert!(matches!(error(&one("[0]")), FormatErrorKind::ShapeAndSize));
    for shape in ["[4294967296,4294967296]", "[18446744073709551615]"] {
        assert!(matches!(error(&one(shape)), FormatErrorKind::ImpossibleShape), "{shape}");
    }
    for shape in ["[-1]", "[1.5]", "[18446744073709551616]", "1"] {
        assert!(matches!(error(&one(shape)), FormatErrorKind::Header(_)), "{shape}");
    }
}

#[test]
fn other_types_name_the_tensor() {
    let complex = r#"{"w":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#;
    assert_eq!(
        error(&file(complex, 8)).to_string(),
        "has a tensor 'w' of type C64; supported types are floating point numbers of 16 to 64 \
         bits, integers and booleans"
    );
}

#[test]
fn every_type_is_read() {
    let floats = Data::F32(vec![1.5, -2.0]);
    let integers = |values: &[i64]| Data::I64(values.to_vec());
    let cases: [(&str, &[u8], Data); 12] = [
        ("F16", &[0x00, 0x3e, 0x00, 0xc0], floats.clone()),
        ("BF16", &[0xc0, 0x3f, 0x00, 0xc0], floats.clone()),
        ("F32", &[1.5f32, -2.0].map(f32::to_le_bytes).concat(), floats.clone()),
        ("F64", &[1.5f64, -2.0].map(f64::to_le_bytes).concat(), floats),
        ("U8", &[1, 255], integers(&[1, 255])),
        ("I8", &[1, 255], integers(&[1, -1])),
        ("U16", &[1, 0, 255, 255], integers(&[1, 65535])),
        ("I16", &[1, 0, 255, 255], integers(&[1, -1])),
        ("U32", &[1u32, u32::MAX].map(u32::to_le_bytes).concat(), integers(&[1, 4294967295])),
        ("I32", &[1i32, -2].map(i32::to_le_bytes).concat(), integers(&[1, -2])),
        ("I64", &[1i64, -2].map(i64::to_le_bytes).concat(), integers(&[1, -2])),
        ("BOOL", &[1, 0], integers(&[1, 0])),
    ];
    for (dtype, bytes, expected) in cases {
        let header = format!(
            r#"{{"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{}]}}}}"#,
            bytes.len()
        );
        let mut whole = file(&header, 0);
        whole.extend(bytes);
        let (tensors, _) = from_bytes(&whole).unwrap();
        assert_eq!(tensors[0].1, Tensor { shape: vec![2], data: expected }, "{dtype}");
    }
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.safetensors");
    let error = read(&missing).unwrap_err().to_string();
    assert!(error.contains("none.safetensors cannot be read: "), "{error}");
    let folder = read(dir.path()).unwrap_err();
    assert!(matches!(folder.kind, FormatErrorKind::NotAFile));
}

/// Random bytes, bits and cuts of a valid file: an error or a file, never a panic.
#[test]
fn mutations_never_panic() {
    let valid = sample_bytes();
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut refused = 0;
    for _ in 0..2000 {
        let mut bytes = valid.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(5) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes[at] = b"0123456789[]{},:\""[random(17)],
                3 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[random(valid.len()).min(at)]),
            }
        }
        refused += usize::from(from_bytes(&bytes).is_err());
    }
    assert!(refused > 1000, "only {refused} of 2000 mutations were noticed");
}

#[test]
fn a_look_at_the_header_tells_where_the_file_ends() {
    let looked = |bytes: &[u8], size: u64| {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        look(&mut file, size)
    };
    let bytes = sample_bytes();
    let size = bytes.len() as u64;
    looked(&bytes, size).unwrap();
    for wrong in [size - 1, size + 1, 4 << 30] {
        assert!(matches!(looked(&bytes, wrong), Err(FormatErrorKind::Size { .. })), "{wrong}");
    }
    let size = 1 << 30;
    assert!(matches!(looked(&file("{}", 0), size), Err(FormatErrorKind::Size { .. })));
    assert!(matches!(looked(&file("{", 0), size), Err(FormatErrorKind::Header(_))));
    let cut = looked(&u64::to_le_bytes(100), 50);
    assert!(matches!(cut, Err(FormatErrorKind::TruncatedHeader { size: 50 })));
    let long = looked(&u64::MAX.to_le_bytes(), size);
    assert!(matches!(long, Err(FormatErrorKind::HeaderTooLarge)));
}
