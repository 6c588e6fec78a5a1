#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = resnet_formats::onnx::from_bytes(bytes);
});
