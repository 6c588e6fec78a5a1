//! Damaged files through every reader: none panics, none hangs, none allocates more than a stated
//! multiple of the file's size.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use resnet_formats::{
    NamedTensors, Tensor, safetensors,
    torch::{self, Optimizer, OptimizerGroup, OptimizerRule},
};

const MUTATIONS: u64 = 350;

/// Numbers without order (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Somewhere in a file: mostly near its ends, where the structure is.
    fn place(&mut self, length: usize) -> usize {
        let edge = length.min(24 << 10);
        match self.below(8) {
            0..5 => self.below(edge),
            5..7 => length - 1 - self.below(edge),
            _ => self.below(length),
        }
    }
}

/// A damaged copy.
fn mutated(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.place(bytes.len());
        let length = (1 << random.below(10)).min(bytes.len() - at);
        match random.below(9) {
            0..3 => bytes[at] ^= 1 << random.below(8),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + length)),
            // The same range twice.
            5 => {
                let range = bytes[at..at + length].to_vec();
                bytes.splice(at..at, range);
            }
            // A range from elsewhere.
            6 => {
                let from = random.place(bytes.len() - length + 1).min(bytes.len() - length);
                bytes.copy_within(from..from + length, at);
            }
            // What may be a length.
            7 => {
                let absurd = [0, 1, 0x7f, 0xff, 0xffff, 1 << 31, u64::MAX >> 1, u64::MAX];
                let value = absurd[random.below(absurd.len())].to_le_bytes();
                let width = (1 << random.below(4)).min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
            // A digit of a header, or an instruction.
            _ => bytes[at] = b"0919eu}]R\x85(2t"[random.below(13)],
        }
    }
    bytes
}

/// Reads a file, and all that its mutations are. `read` says whether the file is accepted.
fn survives(name: &str, file: &[u8], read: impl Fn(&[u8]) -> bool) {
    assert!(read(file), "{name} is whole");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut refused = 0;
    for i in 0..MUTATIONS {
        let bytes = mutated(file, &mut random);
        let mut accepted = Ok(false);
        let count = allocation_counter::measure(|| {
            accepted = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        });
        let accepted = accepted.unwrap_or_else(|_| panic!("{name}: mutation {i} panics"));
        refused += u64::from(!accepted);
        let most = count.bytes_max + bytes.len() as u64;
        let bound = 8 * bytes.len() as u64 + (16 << 20);
        assert!(most <= bound, "{name}: mutation {i} takes {most} bytes");
    }
    // Some hit weights, and make others of them.
    assert!(refused > MUTATIONS / 4, "{name}: only {refused} are refused");
}

fn of_resnet(path: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../resnet/tests", path].iter().collect();
    std::fs::read(path).unwrap()
}

/// A file of a few hundred bytes, where every mutation hits something.
fn small(write: impl FnOnce(&std::path::Path, &NamedTensors)) -> Vec<u8> {
    let tensors = vec![
        ("conv1.weight".into(), Tensor::f32(&[2, 1, 3, 1], vec![0.5; 6])),
        ("bn1.num_batches_tracked".into(), Tensor::scalar_i64(7)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small");
    write(&path, &tensors);
    std::fs::read(path).unwrap()
}

fn is_torch(bytes: &[u8]) -> bool {
    torch::from_bytes(bytes).is_ok()
}

#[test]
fn torch_files() {
    for name in [
        "golden/cifar-resnet18-w8.state_dict.pt",
        "golden/cifar-resnet18-w8.state_dict.legacy.pt",
        "golden/cifar-resnet18-w8.model.pt",
        "golden/cifar-resnet18-w8.all.tar",
        "pretrained/resnet20-12fca82f.th",
    ] {
        survives(name, &of_resnet(name), is_torch);
    }
    let file = small(|path, tensors| {
        let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false };
        let group = OptimizerGroup { lr: 0.1, weight_decay: 0.0, rule, parameters: 1 };
        let state = vec![vec![("momentum_buffer", tensors[0].1.clone())]];
        let sgd = Optimizer { groups: vec![group], state };
        torch::write_checkpoint(path, tensors, Some(&sgd), &[]).unwrap();
    });
    survives("a small checkpoint", &file, is_torch);
}

#[test]
fn safetensors_files() {
    let is_safetensors = |bytes: &[u8]| safetensors::from_bytes(bytes).is_ok();
    let name = "golden/paper-plain14.safetensors";
    survives(name, &of_resnet(name), is_safetensors);
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let file = small(|path, tensors| safetensors::write(path, tensors, &metadata).unwrap());
    survives("small safetensors", &file, is_safetensors);
}

/// Files of several megabytes that make a reader allocate as much memory as they can.
#[test]
fn greedy_files() {
    // A legacy file: magic number, version, no facts, this object, no storages.
    let start = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.M\xe9\x03.}.";
    let legacy = |object: &[u8]| [&start[..], object, b"].].]."].concat();
    let repeated = |code: &[u8]| code.repeat((4 << 20) / code.len());
    // A dict of tensors without elements, whose names differ, and which share all else.
    let mut tensors = b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\n\
        U\x01kU\x03cpuK\x00tQK\x00(K\x00t(K\x01t\x89NtRq\x000}("
        .to_vec();
    for i in 0..400_000u32 {
        tensors.extend([b"U\x05".as_slice(), format!("{i:05x}").as_bytes(), b"h\x00"].concat());
    }
    tensors.extend(b"u.]U\x01ka.\0\0\0\0\0\0\0\0");
    let tensors = [&start[..], &tensors].concat();
    let memo = (0..800_000u32).flat_map(|i| [&b"r"[..], &i.to_le_bytes()].concat());
    let mut cases = vec![tensors, legacy(&[&b"N"[..], &memo.collect::<Vec<_>>()].concat())];
    for code in [
        &b"]"[..],
        b"(",
        b"N",
        b"]Na",
        b"}NNs",
        b"K\x01\x85",
        b"N2\x86",
        b"c\n\n",
        b"ca\nb\n)\x81",
        b"cos\nb\n)\x81NNsNa",
        b"V\\u0061\n",
        b"cbuiltins\nset\n)R",
        b"F1\n",
        b"NQ",
        b"I1\n",
    ] {
        cases.push(legacy(&repeated(code)));
    }
    // Long shapes, small tensors, much metadata: more than is accepted, and little less.
    let safetensors =
        |header: String| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    for count in [20_000, 60_000, 400_000] {
        let joined = |item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
        let tensor = "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
        let shape = tensor.replace("[0]", &format!("[{}]", joined(|_| "0".into())));
        cases.push(safetensors(format!("{{\"a\":{shape}}}")));
        let small = joined(|i| format!("\"{i:x}\":?")).replace('?', tensor);
        cases.push(safetensors(format!("{{{small}}}")));
        let metadata = joined(|i| format!("\"{i:x}\":\"\""));
        cases.push(safetensors(format!("{{\"__metadata__\":{{{metadata}}}}}")));
    }
    for (i, bytes) in cases.iter().enumerate() {
        let count = allocation_counter::measure(|| {
            let _ = (torch::from_bytes(bytes), safetensors::from_bytes(bytes));
        });
        let most = count.bytes_max + bytes.len() as u64;
        let bound = 8 * bytes.len() as u64 + (16 << 20);
        assert!(most <= bound, "{i}: {most} bytes for {}", bytes.len());
    }
}
