//! Reads any bytes as a safetensors file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    resnet_fuzz::bounded(bytes.len(), || resnet_formats::safetensors::from_bytes(bytes));
});
