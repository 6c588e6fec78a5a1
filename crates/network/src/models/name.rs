//! Names of architectures.

use std::{fmt, str::FromStr};

use resnet_formats::brief;
use thiserror::Error;

use super::{
    Arch, Block, Family, Shortcut, Stem, StrideAt,
    arch::{SPRINT_WIDTHS, USUAL_WIDTH},
};
use crate::graph::{Activation, Epsilon};

/// An unknown architecture name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown architecture '{}'{}: expected resnet18|34|50|101|152 (ImageNet; resnet50d, \
     wide_resnet50_2 and resnext50_32x4d are variants, resnet34-a and resnet34-c have shortcuts of options A and C), \
     the same with '-cifar', resnetD with D = 6n+2 \
     such as resnet20 (the paper's CIFAR nets; resnet20-b has shortcuts of option B), resnetD-sprint \
     with D from 8 on, or plain or preresnet instead of resnet; behind it the options +maxpool, \
     +nopool, +stride1x1, +wA-B-C (of -sprint), +gelu, +gelutanh, +silu, +relu and +epsX, in this order; `resnet archs` lists them",
    brief(.0),
    did_you_mean(.0)
)]
pub struct UnknownArch(pub String);

/// The architecture that is meant, if the name only has other capitals, hyphens or underscores.
fn did_you_mean(name: &str) -> String {
    let lower = name.to_lowercase();
    let plain = |name: &str| name.replace(['-', '_'], "");
    let wanted = plain(&lower);
    let parsed = [&wanted, &lower].into_iter().find_map(|name| name.parse::<Arch>().ok());
    let similar = || Arch::all().find(|arch| plain(&arch.to_string()) == wanted);
    let arch = parsed.or_else(similar);
    arch.map_or_else(String::new, |arch| format!(" (did you mean {arch}?)"))
}

/// The most groups, and channels of each, in a name.
const MOST_GROUPS: usize = 1024;

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        let mut options = name.split('+');
        let base = options.next().unwrap_or_default();
        let arch = named(base).and_then(|mut arch| {
            options.try_for_each(|option| set(&mut arch, option)).map(|()| arch)
        });
        // One name for each: no option twice, in another order or with its usual value.
        arch.filter(|arch| arch.to_string() == name).ok_or_else(|| UnknownArch(name.to_owned()))
    }
}

/// The architecture of a name without options.
fn named(name: &str) -> Option<Arch> {
    const KINDS: [&str; 5] = ["wide_resnet", "resnext", "preresnet", "resnet", "plain"];
    let (kind, rest) = KINDS.iter().find_map(|kind| Some((*kind, name.strip_prefix(kind)?)))?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, mut rest) = rest.split_at(digits);
    let depth: usize = digits.parse().ok().filter(|_| !digits.starts_with('0'))?;
    let mut take = |suffix: &str| {
        let after = rest.strip_suffix(suffix);
        rest = after.unwrap_or(rest);
        after.is_some()
    };
    let is_sprint = take("-sprint");
    let is_cifar = take("-cifar");
    let is_bottleneck = take("-bottleneck");
    let options = [("-a", Shortcut::A), ("-b", Shortcut::B), ("-c", Shortcut::C)];
    let option = options.into_iter().find(|o| take(o.0));
    let is_d = rest.strip_prefix('d').map(|after| rest = after).is_some();
    let has_width = matches!(kind, "wide_resnet" | "resnext");
    let is_staged = Family::ImageNet.has_depth(depth);
    let family = match (is_cifar, is_staged) {
        _ if is_sprint && !is_cifar && Family::Sprint.has_depth(depth) => Family::Sprint,
        _ if is_sprint => return None,
        (true, true) => Family::Cifar,
        // Of 26 layers there are two.
        (false, true) if depth != 26 || is_bottleneck || is_d || has_width => Family::ImageNet,
        (false, _) if Family::Paper.has_depth(depth) => Family::Paper,
        _ => return None,
    };
    let mut arch = Arch::new(family, depth, kind != "plain");
    arch.preactivation = kind == "preresnet";
    if let Some((_, shortcut)) = option {
        arch.shortcut = shortcut;
    }
    if is_d {
        (arch.stem, arch.shortcut) = (Stem::Deep, Shortcut::D);
    }
    let number = |text: &str| text.parse().ok().filter(|n| (1..=MOST_GROUPS).contains(n));
    match kind {
        "wide_resnet" => arch.group_width = USUAL_WIDTH * number(rest.strip_prefix('_')?)?,
        "resnext" => {
            let (groups, width) = rest.strip_prefix('_')?.strip_suffix('d')?.split_once('x')?;
            (arch.groups, arch.group_width) = (number(groups)?, number(width)?);
        }
        _ if !rest.is_empty() => return None,
        _ => {}
    }
    is_valid(&arch).then_some(arch)
}

/// Whether the parts of an architecture go together.
fn is_valid(arch: &Arch) -> bool {
    let Arch { family, residual, shortcut, preactivation, .. } = *arch;
    let is_usual = shortcut == Arch::new(family, arch.depth, residual).shortcut;
    let shortcut = match shortcut {
        _ if family == Family::Sprint => is_usual && !preactivation,
        Shortcut::D => family == Family::ImageNet && !preactivation,
        Shortcut::A | Shortcut::C if family == Family::ImageNet => {
            !preactivation && arch.block() == Block::Basic
        }
        _ => is_usual || family == Family::Paper,
    };
    let has_groups = (arch.groups, arch.group_width) != (1, USUAL_WIDTH);
    shortcut && (is_usual || residual) && (!has_groups || arch.block() == Block::Bottleneck)
}

/// Whether a stage of a network made for speed can have so many channels.
pub(super) fn is_sprint_width(width: usize) -> bool {
    width.is_multiple_of(16) && (16..=2048).contains(&width)
}

/// Sets an option.
fn set(arch: &mut Arch, option: &str) -> Option<()> {
    match option {
        "maxpool" if arch.family == Family::Cifar => arch.max_pool = true,
        "nopool" if arch.family == Family::ImageNet => arch.max_pool = false,
        "stride1x1" if arch.block() == Block::Bottleneck => arch.stride_at = StrideAt::Conv1x1,
        _ if arch.family == Family::Sprint && option.starts_with('w') => {
            let mut widths = option[1..].split('-').map(|width| width.parse().ok());
            for width in &mut arch.widths {
                *width = widths.next()?.filter(|&width| is_sprint_width(width))?;
            }
            return widths.next().is_none().then_some(());
        }
        "relu" | "gelu" | "gelutanh" | "silu" => {
            arch.activation = Activation::ALL.into_iter().find(|a| a.name() == option)?;
        }
        _ => arch.epsilon = Epsilon::new(option.strip_prefix("eps")?.parse().ok()?)?,
    }
    Some(())
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_wide = self.groups == 1 && self.group_width != USUAL_WIDTH;
        let kind = match self {
            Arch { residual: false, .. } => "plain",
            Arch { preactivation: true, .. } => "preresnet",
            Arch { groups: 2.., .. } => "resnext",
            _ if is_wide => "wide_resnet",
            _ => "resnet",
        };
        write!(f, "{kind}{}", self.depth)?;
        match self.shortcut {
            Shortcut::D => f.write_str("d")?,
            Shortcut::A if self.family == Family::ImageNet => f.write_str("-a")?,
            Shortcut::B if self.family == Family::Paper => f.write_str("-b")?,
            Shortcut::C => f.write_str("-c")?,
            _ => {}
        }
        if self.groups > 1 {
            write!(f, "_{}x{}d", self.groups, self.group_width)?;
        } else if is_wide {
            write!(f, "_{}", self.group_width / USUAL_WIDTH)?;
        }
        match self.family {
            Family::Cifar => f.write_str("-cifar")?,
            Family::Sprint => f.write_str("-sprint")?,
            Family::ImageNet
                if self.depth == 26 && kind == "resnet" && self.shortcut != Shortcut::D =>
            {
                f.write_str("-bottleneck")?;
            }
            _ => {}
        }
        if self.max_pool != self.family.has_max_pool() {
            f.write_str(if self.max_pool { "+maxpool" } else { "+nopool" })?;
        }
        if self.stride_at == StrideAt::Conv1x1 {
            f.write_str("+stride1x1")?;
        }
        if self.widths != SPRINT_WIDTHS {
            let [first, second, third] = self.widths;
            write!(f, "+w{first}-{second}-{third}")?;
        }
        if self.activation != self.family.activation() {
            write!(f, "+{}", self.activation.name())?;
        }
        if self.epsilon != Epsilon::default() {
            write!(f, "+eps{}", self.epsilon.value())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for arch in Arch::all() {
            assert_eq!(arch.to_string().parse(), Ok(arch));
        }
        for name in [
            "resnet18-cifar+maxpool",
            "resnet101+nopool",
            "resnet34-a+nopool",
            "resnet18-c+gelu",
            "plain50-cifar+stride1x1",
            "resnet50+nopool+stride1x1+eps0.000001",
            "resnet20+eps0.001",
            "resnet26-cifar",
            "resnext26_4x32d",
            "wide_resnet26_2",
            "preresnet26",
            "wide_resnet101_3",
            "resnext50_2x16d-cifar",
            "preresnet18",
            "preresnet20-b",
            "resnext26d_4x8d+stride1x1",
            "wide_resnet50_2+nopool",
            "resnet8-sprint+w64-256-384",
            "plain14-sprint+w16-2048-32+relu+eps0.001",
            "resnet50+nopool+gelu",
            "resnet20+gelutanh",
            "preresnet18-cifar+silu",
            "resnet299-sprint",
            "resnet9-sprint",
            "plain10-sprint",
        ] {
            assert_eq!(name.parse::<Arch>().unwrap().to_string(), name);
        }
        for name in ["resnet8", "resnet1202", "plain110"] {
            assert_eq!(name.parse::<Arch>().unwrap().family, Family::Paper);
        }
    }

    #[test]
    fn what_is_meant_is_suggested() {
        for (name, meant) in [
            ("RESNET8", Some("resnet8")),
            ("resnet-18", Some("resnet18")),
            ("ResNet50", Some("resnet50")),
            ("resnet18_cifar", Some("resnet18-cifar")),
            ("ResNet32-Sprint", Some("resnet32-sprint")),
            ("ResNeXt-50-32x4d", Some("resnext50_32x4d")),
            ("resnet19", None),
            ("vgg16", None),
        ] {
            let error = name.parse::<Arch>().unwrap_err().to_string();
            match meant {
                Some(meant) => {
                    assert!(error.contains(&format!("' (did you mean {meant}?): ")), "{error}");
                }
                None => assert!(!error.contains("did you mean"), "{error}"),
            }
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "resnet",
            "resnet19",
            "resnet2",
            "resnet020",
            "resnet+20",
            "vgg16",
            "resnet20-cifar",
            "resnet18-cifar-cifar",
            "plain-18",
            "resnet99999999999999999999",
            "resnet18+maxpool",
            "resnet18-cifar+nopool",
            "resnet20+maxpool",
            "resnet18+stride1x1",
            "resnet50+nopool+nopool",
            "resnet50+stride1x1+nopool",
            "resnet50+eps1e-5",
            "resnet50+eps1e-3",
            "resnet50+eps0",
            "resnet50+epsNaN",
            "resnet50+",
            "+nopool",
            "resnet26d-bottleneck",
            "resnet18-bottleneck",
            "resnet18-b",
            "resnet20-a",
            "resnet26-a-bottleneck",
            "resnet50-a",
            "resnet50-c",
            "resnet18-a-cifar",
            "resnet18-c-cifar",
            "resnet18d-a",
            "plain18-a",
            "preresnet18-a",
            "resnet8-a-sprint",
            "resnet20d",
            "wide_resnet50",
            "wide_resnet50_1",
            "wide_resnet18_2",
            "resnext50",
            "resnext50_1x64d",
            "resnext50_32x4",
            "resnext18_32x4d",
            "resnext20_32x4d",
            "preresnet50d",
            "preresnext50_32x4d",
            "plain50d",
            "plain20-b",
            "resnet50d-cifar",
            "resnet5-sprint",
            "resnet7-sprint",
            "preresnet8-sprint",
            "resnet8-b-sprint",
            "resnet8-sprint-cifar",
            "resnet8-cifar-sprint",
            "resnet50-bottleneck-sprint",
            "resnet8d-sprint",
            "resnext8_2x4d-sprint",
            "resnet8-sprint+maxpool",
            "resnet8-sprint+w64-256-256",
            "resnet8-sprint+w64-256",
            "resnet8-sprint+w64-256-384-512",
            "resnet8-sprint+w64-256-24",
            "resnet8-sprint+w64-256-0384",
            "resnet8-sprint+w0-256-256",
            "resnet8-sprint+w64-256-4096",
            "resnet20+w64-256-384",
            "resnet20+relu",
            "resnet20+gelu+silu",
            "resnet20+relu",
            "resnet8-sprint+silu",
            "resnet20+eps0.001+gelu",
        ] {
            assert!(name.parse::<Arch>().is_err(), "{name}");
        }
    }
}
