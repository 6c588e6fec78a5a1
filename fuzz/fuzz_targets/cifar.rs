//! Reads any bytes as a pickled batch of CIFAR-10, and of rows of three bytes.
#![no_main]

use resnet_formats::LabelledRows;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for width in [3, 3072] {
        let read = resnet_fuzz::bounded(bytes.len(), || LabelledRows::from_pickle(bytes, width));
        if let Ok(LabelledRows { rows, labels }) = read {
            assert_eq!(rows.len(), labels.len() * width);
        }
    }
});
