//! Errors of devices.

use resnet_program::PlanError;
use thiserror::Error;

/// Why a device cannot be used, or can no longer be.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum GpuError {
    /// There is no device with this number.
    #[error("there is no gpu:{wanted}: {}; `resnet devices` lists what there is", match found {
        0 => "no GPU was found".to_owned(),
        1 => "there is only gpu:0".to_owned(),
        found => format!("there are gpu:0 to gpu:{}", found - 1),
    })]
    NoSuch {
        /// The number that was asked for.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The driver lacks something, or refuses.
    #[error("{device} cannot be used: {reason}")]
    Unsupported {
        /// The device's name.
        device: String,
        /// What is wrong.
        reason: String,
    },
    /// A buffer does not fit.
    #[error("{device} has too little memory{}: {reason}. {}", match batch {
        0 => String::new(),
        1 => " for a batch of one image".to_owned(),
        batch => format!(" for batches of {batch} images"),
    }, match (batch, fits) {
        (_, Some(0)) => {
            "Not even one fits: use smaller images (--image-size), a smaller network, or --device cpu".to_owned()
        }
        (_, Some(fits)) => {
            format!("Batches of {fits} fit (--batch-size {fits}), and --device cpu has other memory")
        }
        (0, None) => "End other programs that use it, or take --device cpu".to_owned(),
        (_, None) => "Use smaller batches or images, a smaller network, or --device cpu".to_owned(),
    })]
    Memory {
        /// The device's name.
        device: String,
        /// Images of a batch, 0 if it is for none.
        batch: usize,
        /// What does not fit.
        reason: String,
        /// The largest batch that does, 0 if none does; None if none was looked for.
        fits: Option<usize>,
    },
    /// The device went away, or a command failed.
    #[error("{device} was lost: {reason}")]
    Lost {
        /// The device's name.
        device: String,
        /// What the driver says.
        reason: String,
    },
    /// The network or the images do not fit any device.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_says_what_to_do() {
        let of = |batch, fits| {
            let (device, reason) = ("a card".to_owned(), "values take 9 MiB".to_owned());
            GpuError::Memory { device, batch, reason, fits }.to_string()
        };
        let text = of(128, Some(32));
        assert!(text.contains("Batches of 32 fit (--batch-size 32), and --device"), "{text}");
        assert!(of(2, Some(0)).contains("Not even one fits: use smaller images (--image-size)"));
        assert!(of(1, Some(0)).contains("memory for a batch of one image: values take"));
        // A run whose images grow.
        let text = of(128, None);
        assert!(text.contains("Use smaller batches or images,"), "{text}");
        assert!(!text.contains("--batch-size"), "{text}");
        let text = of(0, None);
        assert!(text.contains("has too little memory: values take 9 MiB. End other"), "{text}");
    }
}
