//! Loads any bytes as the object, keys and storages of a legacy PyTorch file.
#![no_main]

/// The magic number, the version, and an empty dict of system information.
const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\
    \x80\x02M\xe9\x03.\x80\x02}.";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = [START, bytes].concat();
    resnet_fuzz::network(8, &[("model.pt", &file)], "model.pt");
});
