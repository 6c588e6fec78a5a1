//! Types, strides, and shared storages.

use super::{build::*, *};

/// The tensor of a file of one.
fn tensor(code: Code, bytes: &[u8]) -> std::result::Result<Tensor, FormatErrorKind> {
    let mut model = from_bytes(&file(dict(&[("a", code)]), &[("0", bytes)]))?.model;
    Ok(model.remove(0).1)
}

fn flat(class: &str, bytes: &[u8], count: usize) -> Data {
    let code = view(storage(class, "0", count), 0, &[count], &[1]);
    tensor(code, bytes).unwrap().data
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn every_type_is_converted() {
    let of = |class, bytes: &[&[u8]]| flat(class, &bytes.concat(), bytes.len());
    let half = |bits: u16| bits.to_le_bytes();
    // 1, -2, the largest, the smallest normal and subnormal, and infinity.
    let halves = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0xfc00].map(half);
    let halves: Vec<_> = halves.iter().map(|h| &h[..]).collect();
    let expected = vec![1.0, -2.0, 65504.0, 2f32.powi(-14), 2f32.powi(-24), f32::NEG_INFINITY];
    assert_eq!(of("torch.HalfStorage", &halves), Data::F32(expected));
    let Data::F32(nan) = of("torch.HalfStorage", &[&half(0x7e00)]) else { panic!() };
    assert!(nan[0].is_nan());
    assert_eq!(
        of("torch.BFloat16Storage", &[&half(0x3f80), &half(0xc040)]),
        Data::F32(vec![1.0, -3.0])
    );
    assert_eq!(
        of("torch.DoubleStorage", &[&0.1f64.to_le_bytes(), &1e300f64.to_le_bytes()]),
        Data::F32(vec![0.1, f32::INFINITY])
    );
    assert_eq!(of("torch.cuda.FloatStorage", &[&0.1f32.to_le_bytes()]), Data::F32(vec![0.1]));
    assert_eq!(of("torch.LongStorage", &[&(-5i64).to_le_bytes()]), Data::I64(vec![-5]));
    assert_eq!(of("torch.IntStorage", &[&(-5i32).to_le_bytes()]), Data::I64(vec![-5]));
    assert_eq!(of("torch.ShortStorage", &[&(-5i16).to_le_bytes()]), Data::I64(vec![-5]));
    assert_eq!(of("torch.CharStorage", &[&[0xfb]]), Data::I64(vec![-5]));
    assert_eq!(of("torch.ByteStorage", &[&[0xfb]]), Data::I64(vec![251]));
    assert_eq!(of("torch.BoolStorage", &[&[0], &[1]]), Data::I64(vec![0, 1]));
}

#[test]
fn types_that_are_not_read_are_named() {
    let code = view(storage("torch.ComplexFloatStorage", "0", 1), 0, &[1], &[1]);
    let error = tensor(code, &[0; 8]).unwrap_err().to_string();
    assert!(error.contains("'a' of type complex64"), "{error}");
    let storage = storage("torch.storage.UntypedStorage", "0", 1);
    let dtype = global("torch.float8_e4m3fn");
    let args = [storage, int(0), ints(&[1]), ints(&[1]), none(), none(), dtype, none()];
    let code = call("torch._utils._rebuild_tensor_v3", &args);
    let error = tensor(code, &[0]).unwrap_err().to_string();
    assert!(error.contains("'a' of type float8_e4m3fn; supported types are"), "{error}");
    for (function, what) in [
        ("_rebuild_qtensor", "that is quantised"),
        ("_rebuild_sparse_tensor", "that is sparse, which is not supported: save its to_dense()"),
        ("_rebuild_meta_tensor_no_storage", "without values, on PyTorch's meta device"),
        ("_rebuild_wrapper_subclass", "made by torch._utils._rebuild_wrapper_subclass"),
    ] {
        let code = call(&format!("torch._utils.{function}"), &[none()]);
        let error = tensor(code, &[]).unwrap_err().to_string();
        assert!(error.contains(&format!("'a' {what}")), "{error}");
    }
}

#[test]
fn untyped_storages_get_the_tensors_type() {
    let storage = storage("torch.storage.UntypedStorage", "0", 4);
    let dtype = global("torch.bfloat16");
    let args = [storage, int(1), ints(&[1]), ints(&[1]), none(), none(), dtype, none()];
    let code = call("torch._utils._rebuild_tensor_v3", &args);
    let bytes = [0, 0, 0x80, 0x3f];
    assert_eq!(tensor(code, &bytes).unwrap().data, Data::F32(vec![1.0]));
}

#[test]
fn views_are_made_dense() {
    let bytes = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let read = |offset, shape: &[usize], strides: &[usize]| {
        let code = view(storage("torch.FloatStorage", "0", 7), offset, shape, strides);
        let tensor = tensor(code, &bytes).unwrap();
        assert_eq!(tensor.shape, shape);
        tensor.as_f32().unwrap().to_vec()
    };
    assert_eq!(read(1, &[2, 3], &[3, 1]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // Transposed, every other, repeated, without dimensions, without elements.
    assert_eq!(read(1, &[3, 2], &[1, 3]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(read(0, &[2, 2], &[4, 2]), [0.0, 2.0, 4.0, 6.0]);
    assert_eq!(read(6, &[2, 2], &[0, 0]), [6.0; 4]);
    assert_eq!(read(3, &[], &[]), [3.0]);
    assert_eq!(read(9, &[usize::MAX >> 1, 0, usize::MAX >> 1], &[1, 1, 1]), [0.0; 0]);
    assert_eq!(read(2, &[1, 5, 1], &[99, 1, 42]), [2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn storages_may_be_shared() {
    let part = |offset| view(storage("torch.FloatStorage", "0", 4), offset, &[2], &[1]);
    let code = dict(&[("a", part(0)), ("b", part(1)), ("c", part(1))]);
    let model = from_bytes(&file(code, &[("0", &floats(&[0.0, 1.0, 2.0, 3.0]))])).unwrap().model;
    let values: Vec<_> = model.iter().map(|(_, tensor)| tensor.as_f32().unwrap()).collect();
    assert_eq!(values, [[0.0, 1.0], [1.0, 2.0], [1.0, 2.0]]);
}

#[test]
fn parts_of_storages_are_read_from_legacy_files() {
    // ("storage", type, key, location, count, (key of the part, start, count))
    let part = tuple(&[text("b"), int(1), int(2)]);
    let args =
        [text("storage"), global("torch.FloatStorage"), text("a"), text("cuda:0"), int(4), part];
    let storage = [tuple(&args), b"Q".to_vec()].concat();
    let code = dict(&[("x", view(storage, 0, &[2], &[1]))]);
    let bytes = legacy(code, &[("a", 4, &floats(&[0.0, 1.0, 2.0, 3.0]))]);
    assert_eq!(from_bytes(&bytes).unwrap().model[0].1.as_f32(), Some(&[1.0, 2.0][..]));
}

#[test]
fn big_endian_files_are_read() {
    let pickle = dict(&[("a", view(storage("torch.FloatStorage", "0", 1), 0, &[1], &[1]))]);
    let pickle = [&b"\x80\x02"[..], &pickle, b"."].concat();
    let data = 1.5f32.to_be_bytes();
    let read = |order: &[u8]| {
        let files = [("data.pkl", &pickle[..]), ("data/0", &data), ("byteorder", order)];
        from_bytes(&zip(&files))
    };
    assert_eq!(read(b"big").unwrap().model[0].1.as_f32(), Some(&[1.5][..]));
    assert!(read(b"middle").is_err());
}

#[test]
fn wrapped_tensors_are_read() {
    let args = tuple(&[storage("torch.FloatStorage", "one", 1), int(0), ints(&[1]), ints(&[1])]);
    let subclass = call(
        "torch._tensor._rebuild_from_type_v2",
        &[global("torch._utils._rebuild_tensor"), global("__main__.MyTensor"), args, none()],
    );
    let parameter = call("torch._utils._rebuild_parameter_with_state", &[subclass, none()]);
    assert_eq!(tensor(parameter, &[]).unwrap(), Tensor::f32(&[1], vec![1.0]));
    let size = call("torch.Size", &[ints(&[1])]);
    let args = [storage("torch.FloatStorage", "one", 1), int(0), size, ints(&[1])];
    let code = call("torch._utils._rebuild_tensor", &args);
    assert_eq!(tensor(code, &[]).unwrap(), Tensor::f32(&[1], vec![1.0]));
}
