//! What `--device auto` takes, by what there is.

use std::{fmt, path::PathBuf};

use resnet::engine::gpu::{DeviceInfo, DeviceKind};
use resnet_formats::Shown;

/// Why the CPU computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WhyCpu {
    /// There is no GPU.
    NoGpu,
    /// There is one, by its device node, and nothing that drives it.
    NoDriver(PathBuf),
    /// There is one that cannot be used: why.
    Failed(String),
    /// There is one that is slower: its name.
    Slower(String),
    /// There is one with memory for smaller batches than the one that is asked for, or for none (0).
    Memory { name: String, fits: usize, asked: usize },
}

impl fmt::Display for WhyCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyCpu::NoGpu => f.write_str("no GPU found"),
            WhyCpu::NoDriver(node) => write!(
                f,
                "there is a GPU ({}), but no driver of Vulkan for it that this process can use (--device cpu does \
                 not look for one)",
                node.shown()
            ),
            WhyCpu::Failed(error) => f.write_str(error),
            WhyCpu::Slower(name) => write!(f, "{name} is slower"),
            WhyCpu::Memory { name, fits: 0, .. } => {
                write!(f, "{name} has too little memory for this network and size of images")
            }
            WhyCpu::Memory { name, fits, asked } => write!(
                f,
                "{name} has memory for batches of {fits} images, not of {asked} (--device gpu --batch-size {fits} \
                 takes it)"
            ),
        }
    }
}

/// The first GPU that is no software, with its number, if it can be opened and is worth it.
pub(super) fn decide<G>(
    node: Option<PathBuf>,
    devices: &[DeviceInfo],
    open: impl FnOnce(usize) -> anyhow::Result<G>,
    is_worth_it: impl FnOnce(&DeviceInfo, &G) -> anyhow::Result<bool>,
) -> Result<(usize, G), WhyCpu> {
    let hardware = devices.iter().position(|info| info.kind != DeviceKind::Software);
    let Some(number) = hardware else {
        return Err(node.map_or(WhyCpu::NoGpu, WhyCpu::NoDriver));
    };
    let info = &devices[number];
    let failed = |error: anyhow::Error| failed(&info.name, &error);
    let gpu = open(number).map_err(failed)?;
    match is_worth_it(info, &gpu).map_err(failed)? {
        true => Ok((number, gpu)),
        false => Err(WhyCpu::Slower(info.name.clone())),
    }
}

/// Checks that a GPU has memory for a batch of so many images: `largest` finds the largest that it has memory for.
pub(super) fn check_memory(
    name: &str,
    asked: usize,
    largest: impl FnOnce() -> anyhow::Result<usize>,
) -> Result<(), WhyCpu> {
    match largest() {
        Ok(fits) if fits >= asked => Ok(()),
        Ok(fits) => Err(WhyCpu::Memory { name: name.to_owned(), fits, asked }),
        Err(error) => Err(failed(name, &error)),
    }
}

/// A GPU that fails, which is named once.
fn failed(name: &str, error: &anyhow::Error) -> WhyCpu {
    let error = format!("{error:#}");
    match error.contains(name) {
        true => WhyCpu::Failed(error),
        false => WhyCpu::Failed(format!("{name}: {error}")),
    }
}

/// Whether it is taken without being compared with the CPU: a card. One that a virtual machine is given may be anything.
pub(super) fn is_card(info: &DeviceInfo) -> bool {
    info.kind == DeviceKind::Discrete
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn device(kind: DeviceKind) -> DeviceInfo {
        DeviceInfo {
            name: format!("{kind} GPU"),
            backend: "Vulkan".to_owned(),
            driver: "1.0".to_owned(),
            kind,
            largest_buffer: 1 << 31,
        }
    }

    /// What is decided where every GPU opens, and only those of this kind are worth it.
    fn decided(node: bool, kinds: &[DeviceKind], worth_it: DeviceKind) -> Result<usize, WhyCpu> {
        let devices: Vec<DeviceInfo> = kinds.iter().copied().map(device).collect();
        let node = node.then(|| "/dev/dri/renderD128".into());
        let open = |number: usize| Ok(kinds[number]);
        let is_worth_it = |_: &DeviceInfo, kind: &DeviceKind| Ok(*kind == worth_it);
        let taken = decide(node, &devices, open, is_worth_it);
        taken.map(|(number, _)| number)
    }

    #[test]
    fn the_first_gpu_is_taken_if_it_is_worth_it() {
        use DeviceKind::{Discrete, Integrated, Software};
        assert_eq!(decided(true, &[Discrete, Integrated, Software], Discrete), Ok(0));
        assert_eq!(decided(true, &[Software, Integrated], Integrated), Ok(1));
        let slower = Err(WhyCpu::Slower("integrated GPU".to_owned()));
        assert_eq!(decided(true, &[Integrated, Software], Discrete), slower);
    }

    #[test]
    fn software_and_nothing_are_no_gpu() {
        use DeviceKind::Software;
        let none: &[DeviceKind] = &[];
        for kinds in [none, &[Software]] {
            assert_eq!(decided(false, kinds, Software), Err(WhyCpu::NoGpu));
            let why = decided(true, kinds, Software).unwrap_err();
            assert!(why.to_string().contains("(/dev/dri/renderD128), but no driver"), "{why}");
        }
    }

    #[test]
    fn a_gpu_that_fails_is_named_once() {
        let devices = [device(DeviceKind::Discrete)];
        let closed = decide(None, &devices, |_| bail!("it is closed"), |_, _: &()| Ok(true));
        assert_eq!(closed, Err(WhyCpu::Failed("discrete GPU: it is closed".to_owned())));
        let lost = |_: &DeviceInfo, _: &()| bail!("discrete GPU was lost");
        let lost = decide(None, &devices, |_| Ok(()), lost);
        assert_eq!(lost, Err(WhyCpu::Failed("discrete GPU was lost".to_owned())));
    }

    #[test]
    fn a_gpu_with_too_little_memory_leaves_the_work_to_the_cpu() {
        let of = |largest: anyhow::Result<usize>| check_memory("a card", 128, || largest);
        assert_eq!(of(Ok(128)), Ok(()));
        let why = of(Ok(48)).unwrap_err().to_string();
        assert!(why.starts_with("a card has memory for batches of 48 images, not of 128"), "{why}");
        assert!(why.contains("--device gpu --batch-size 48"), "{why}");
        let why = of(Ok(0)).unwrap_err().to_string();
        assert_eq!(why, "a card has too little memory for this network and size of images");
        let lost = of(Err(anyhow::anyhow!("it was lost")));
        assert_eq!(lost, Err(WhyCpu::Failed("a card: it was lost".to_owned())));
    }

    #[test]
    fn only_a_card_is_not_compared_with_the_cpu() {
        use DeviceKind::{Discrete, Integrated, Other, Software, Virtual};
        assert!(is_card(&device(Discrete)));
        for kind in [Integrated, Virtual, Other, Software] {
            assert!(!is_card(&device(kind)), "{kind}");
        }
    }
}
