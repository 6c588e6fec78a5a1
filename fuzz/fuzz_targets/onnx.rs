//! Any bytes as an ONNX file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    resnet_fuzz::bounded(bytes.len(), || resnet_formats::onnx::from_bytes(bytes));
});
