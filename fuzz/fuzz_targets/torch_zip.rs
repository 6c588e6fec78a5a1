//! Loads any bytes as the pickle of a valid archive, and as its storages `0` to `9`.
#![no_main]

/// A zip archive of uncompressed entries.
#[derive(Default)]
struct Zip {
    entries: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        let offset = self.entries.len() as u32;
        let (crc, size) = (crc32fast::hash(bytes), bytes.len() as u32);
        // Version, flags, method, time, date; then sizes and the lengths of name and extra field.
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for field in [crc, size, size, name.len() as u32] {
            common.extend(field.to_le_bytes());
        }
        self.entries.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
        let attributes = [0; 10];
        self.directory.extend([b"PK\x01\x02\x14\0", &common[..], &attributes].concat());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let start = self.entries.len() as u32;
        let length = self.directory.len() as u32;
        self.entries.extend(self.directory);
        self.entries.extend(b"PK\x05\x06\0\0\0\0");
        self.entries.extend([self.count.to_le_bytes(), self.count.to_le_bytes()].concat());
        self.entries.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
        self.entries.extend([0; 2]);
        self.entries
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut zip = Zip::default();
    zip.add("a/data.pkl", bytes);
    for key in 0..10 {
        // Storages of different lengths, so that some match the pickle.
        let length = bytes.len().min(1 << key >> 1);
        zip.add(&format!("a/data/{key}"), &bytes[..length]);
    }
    let file = zip.finish();
    resnet_fuzz::network(8, &[("model.pt", &file)], "model.pt");
});
