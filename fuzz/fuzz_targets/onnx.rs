//! Loads any bytes as an ONNX file, within its own memory bound. `model.onnx` as the place of external
//! data is the file itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let read = || drop(resnet_formats::onnx::from_bytes(bytes));
    let most = allocation_counter::measure(read).bytes_max;
    assert!(most <= 32 * bytes.len() as u64 + (1 << 16), "{most} bytes for {}", bytes.len());
    resnet_fuzz::network(32, &[("model.onnx", bytes)], "model.onnx");
});
