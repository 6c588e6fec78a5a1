//! The value of `--device`.

use std::str::FromStr;

/// The value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    /// A GPU that is there and faster, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// A GPU, by its number in `resnet devices` if there is one.
    Gpu(Option<usize>),
}

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(DeviceArg::Auto),
            "cpu" => Ok(DeviceArg::Cpu),
            "gpu" => Ok(DeviceArg::Gpu(None)),
            _ => {
                let number = text.strip_prefix("gpu:").and_then(|number| number.parse().ok());
                let number = number.ok_or("expected auto, cpu, gpu or gpu:N, such as gpu:0")?;
                Ok(DeviceArg::Gpu(Some(number)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named() {
        let parse = |text: &str| text.parse::<DeviceArg>();
        assert_eq!(parse("auto"), Ok(DeviceArg::Auto));
        assert_eq!(parse("cpu"), Ok(DeviceArg::Cpu));
        assert_eq!(parse("gpu"), Ok(DeviceArg::Gpu(None)));
        assert_eq!(parse("gpu:12"), Ok(DeviceArg::Gpu(Some(12))));
        for wrong in ["", "cuda", "gpu:", "gpu:-1", "gpu:x", "GPU"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
