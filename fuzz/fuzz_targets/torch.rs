//! Reads any bytes as a PyTorch file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    resnet_fuzz::bounded(bytes.len(), || resnet_formats::torch::from_bytes(bytes));
});
