//! Loads any bytes as a safetensors file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    resnet_fuzz::network(8, &[("model.safetensors", bytes)], "model.safetensors");
});
