//! Loads any bytes as a PyTorch file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    resnet_fuzz::network(8, &[("model.pt", bytes)], "model.pt");
});
