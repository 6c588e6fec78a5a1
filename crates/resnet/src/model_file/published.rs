//! Published ImageNet weights by name: torchvision's and timm's, of the architectures of the family.

use std::path::Path;

use super::timm::own_name;
use crate::{data::RemoteFile, models::Arch};

/// Published ImageNet weights.
///
/// A name is timm's: an architecture, and behind a dot who trained it and how. `tv_in1k` are
/// torchvision's `IMAGENET1K_V1`, `tv2_in1k` its `IMAGENET1K_V2`.
#[derive(Debug)]
pub struct PublishedWeights {
    /// The whole name.
    pub name: &'static str,
    host: Host,
    /// Behind its last `-` are the first eight digits of the file's SHA-256 (`torch.hub`).
    file: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Host {
    Torchvision,
    /// A release of timm.
    Timm(&'static str),
}

/// Of "ResNet strikes back" (Wightman et al. 2021, arXiv 2110.00476).
const RSB: Host = Host::Timm("v0.1-rsb-weights");
const TIMM: Host = Host::Timm("v0.1-weights");
const TPU: Host = Host::Timm("v0.1-tpu-weights");

impl PublishedWeights {
    /// All of them. Of each architecture the first are meant where no others are asked for.
    pub const ALL: &'static [PublishedWeights] = &[
        torchvision("resnet18.tv_in1k", "resnet18-f37072fd.pth"),
        timm("resnet18.a1_in1k", RSB, "resnet18_a1_0-d63eafa0.pth"),
        timm("resnet18.a2_in1k", RSB, "resnet18_a2_0-b61bd467.pth"),
        timm("resnet18.a3_in1k", RSB, "resnet18_a3_0-40c531c8.pth"),
        timm("resnet18d.ra2_in1k", TIMM, "resnet18d_ra2-48a79e06.pth"),
        timm("resnet26.bt_in1k", TIMM, "resnet26-9aa10e23.pth"),
        timm("resnet26d.bt_in1k", TIMM, "resnet26d-69e92c46.pth"),
        torchvision("resnet34.tv_in1k", "resnet34-b627a593.pth"),
        timm("resnet34.a1_in1k", RSB, "resnet34_a1_0-46f8f793.pth"),
        timm("resnet34.a2_in1k", RSB, "resnet34_a2_0-82d47d71.pth"),
        timm("resnet34.a3_in1k", RSB, "resnet34_a3_0-a20cabb6.pth"),
        timm("resnet34.bt_in1k", TIMM, "resnet34-43635321.pth"),
        timm("resnet34d.ra2_in1k", TIMM, "resnet34d_ra2-f8dcfcaf.pth"),
        torchvision("resnet50.tv_in1k", "resnet50-0676ba61.pth"),
        torchvision("resnet50.tv2_in1k", "resnet50-11ad3fa6.pth"),
        timm("resnet50.a1_in1k", RSB, "resnet50_a1_0-14fe96d1.pth"),
        timm("resnet50.a1h_in1k", RSB, "resnet50_a1h2_176-001a1197.pth"),
        timm("resnet50.a2_in1k", RSB, "resnet50_a2_0-a2746f79.pth"),
        timm("resnet50.a3_in1k", RSB, "resnet50_a3_0-59cae1ef.pth"),
        timm("resnet50.b1k_in1k", RSB, "resnet50_b1k-532a802a.pth"),
        timm("resnet50.b2k_in1k", RSB, "resnet50_b2k-1ba180c1.pth"),
        timm("resnet50.c1_in1k", RSB, "resnet50_c1-5ba5e060.pth"),
        timm("resnet50.c2_in1k", RSB, "resnet50_c2-d01e05b2.pth"),
        timm("resnet50.d_in1k", RSB, "resnet50_d-f39db8af.pth"),
        timm("resnet50.ram_in1k", TIMM, "resnet50_ram-a26f946b.pth"),
        timm("resnet50.am_in1k", TIMM, "resnet50_am-6c502b37.pth"),
        timm("resnet50.ra_in1k", TIMM, "resnet50_ra-85ebb6e5.pth"),
        timm("resnet50.bt_in1k", TIMM, "rw_resnet50-86acaeed.pth"),
        timm("resnet50d.ra2_in1k", TIMM, "resnet50d_ra2-464e36ba.pth"),
        timm("resnet50d.a1_in1k", RSB, "resnet50d_a1_0-e20cff14.pth"),
        timm("resnet50d.a2_in1k", RSB, "resnet50d_a2_0-a3adc64d.pth"),
        timm("resnet50d.a3_in1k", RSB, "resnet50d_a3_0-403fdfad.pth"),
        torchvision("resnet101.tv_in1k", "resnet101-63fe2227.pth"),
        torchvision("resnet101.tv2_in1k", "resnet101-cd907fc2.pth"),
        timm("resnet101.a1_in1k", RSB, "resnet101_a1_0-cdcb52a9.pth"),
        timm("resnet101.a1h_in1k", RSB, "resnet101_a1h-36d3f2aa.pth"),
        timm("resnet101.a2_in1k", RSB, "resnet101_a2_0-6edb36c7.pth"),
        timm("resnet101.a3_in1k", RSB, "resnet101_a3_0-1db14157.pth"),
        timm("resnet101d.ra2_in1k", TIMM, "resnet101d_ra2-2803ffab.pth"),
        torchvision("resnet152.tv_in1k", "resnet152-394f9c45.pth"),
        torchvision("resnet152.tv2_in1k", "resnet152-f82ba261.pth"),
        timm("resnet152.a1_in1k", RSB, "resnet152_a1_0-2eee8a7a.pth"),
        timm("resnet152.a1h_in1k", RSB, "resnet152_a1h-dc400468.pth"),
        timm("resnet152.a2_in1k", RSB, "resnet152_a2_0-b4c6978f.pth"),
        timm("resnet152.a3_in1k", RSB, "resnet152_a3_0-134d4688.pth"),
        timm("resnet152d.ra2_in1k", TIMM, "resnet152d_ra2-5cac0439.pth"),
        torchvision("wide_resnet50_2.tv_in1k", "wide_resnet50_2-95faca4d.pth"),
        torchvision("wide_resnet50_2.tv2_in1k", "wide_resnet50_2-9ba9bcbe.pth"),
        timm("wide_resnet50_2.racm_in1k", TIMM, "wide_resnet50_racm-8234f177.pth"),
        torchvision("wide_resnet101_2.tv_in1k", "wide_resnet101_2-32ee1156.pth"),
        torchvision("wide_resnet101_2.tv2_in1k", "wide_resnet101_2-d733dc28.pth"),
        torchvision("resnext50_32x4d.tv_in1k", "resnext50_32x4d-7cdf4587.pth"),
        torchvision("resnext50_32x4d.tv2_in1k", "resnext50_32x4d-1a0047aa.pth"),
        timm("resnext50_32x4d.a1_in1k", RSB, "resnext50_32x4d_a1_0-b5a91a1d.pth"),
        timm("resnext50_32x4d.a1h_in1k", RSB, "resnext50_32x4d_a1h-0146ab0a.pth"),
        timm("resnext50_32x4d.a2_in1k", RSB, "resnext50_32x4d_a2_0-efc76add.pth"),
        timm("resnext50_32x4d.a3_in1k", RSB, "resnext50_32x4d_a3_0-3e450271.pth"),
        timm("resnext50_32x4d.ra_in1k", TIMM, "resnext50_32x4d_ra-d733960d.pth"),
        timm("resnext50d_32x4d.bt_in1k", TIMM, "resnext50d_32x4d-103e99f8.pth"),
        torchvision("resnext101_32x8d.tv_in1k", "resnext101_32x8d-8ba56ff5.pth"),
        torchvision("resnext101_32x8d.tv2_in1k", "resnext101_32x8d-110c445d.pth"),
        torchvision("resnext101_64x4d.tv_in1k", "resnext101_64x4d-173b62eb.pth"),
        timm("resnext101_64x4d.c1_in1k", TPU, "resnext101_64x4d_c-0d0e0cc0.pth"),
    ];

    /// The weights of a name. The first of an architecture need no more than its name.
    ///
    /// ```
    /// use resnet::model_file::PublishedWeights;
    /// let named = |name| PublishedWeights::named(name).unwrap();
    /// assert_eq!(named("resnet18").name, "resnet18.tv_in1k");
    /// assert_eq!(named("resnet50.a1_in1k").arch().to_string(), "resnet50");
    /// ```
    pub fn named(name: &str) -> Option<&'static PublishedWeights> {
        let base = |weights: &PublishedWeights| weights.name.split('.').next() == Some(name);
        PublishedWeights::ALL.iter().find(|weights| weights.name == name || base(weights))
    }

    /// The usual weights of an architecture, if there are any.
    pub fn usual(arch: Arch) -> Option<&'static PublishedWeights> {
        PublishedWeights::ALL.iter().find(|weights| weights.arch() == arch)
    }

    /// The weights that a file has by its name.
    pub fn of_file(path: &Path) -> Option<&'static PublishedWeights> {
        let name = path.file_name()?;
        PublishedWeights::ALL.iter().find(|weights| name == weights.file)
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        let name = own_name(self.name).ok();
        name.and_then(|name| name.parse().ok()).expect("every name in the table is of the family")
    }

    /// The name of the file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The address of the file.
    pub fn url(&self) -> String {
        match self.host {
            Host::Torchvision => format!("https://download.pytorch.org/models/{}", self.file),
            Host::Timm(release) => format!(
                "https://github.com/huggingface/pytorch-image-models/releases/download/{release}/{}",
                self.file
            ),
        }
    }

    /// The file at its [address](PublishedWeights::url), for [`fetch_file`](crate::data::fetch_file).
    pub fn remote<'a>(&'a self, url: &'a str) -> RemoteFile<'a> {
        RemoteFile { name: self.file, url, sha256: self.sha256() }
    }

    /// The first digits of the file's SHA-256.
    fn sha256(&self) -> &'static str {
        let stem = self.file.rsplit_once('.').map_or(self.file, |(stem, _)| stem);
        stem.rsplit_once('-').map_or("", |(_, digits)| digits)
    }
}

const fn torchvision(name: &'static str, file: &'static str) -> PublishedWeights {
    PublishedWeights { name, host: Host::Torchvision, file }
}

const fn timm(name: &'static str, host: Host, file: &'static str) -> PublishedWeights {
    PublishedWeights { name, host, file }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_entry_has_an_architecture_and_a_digest_of_its_own() {
        let all = PublishedWeights::ALL;
        for weights in all {
            let digest = weights.sha256();
            assert!(
                digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
                "{weights:?}"
            );
            assert_eq!(weights.arch().image_size(), 224, "{weights:?}");
            assert!(Arch::all().any(|arch| arch == weights.arch()), "{weights:?}");
            let found = PublishedWeights::of_file(&Path::new("/x").join(weights.file)).unwrap();
            assert_eq!(found.name, weights.name);
        }
        let distinct = |part: fn(&PublishedWeights) -> &'static str| {
            all.iter().map(part).collect::<HashSet<_>>().len()
        };
        assert_eq!([distinct(|w| w.name), distinct(|w| w.file)], [all.len(); 2]);
        assert_eq!(distinct(|w| w.sha256()), all.len());
    }

    #[test]
    fn names_are_torchvisions_and_timms() {
        let url = |name| PublishedWeights::named(name).map(PublishedWeights::url);
        let torchvision = "https://download.pytorch.org/models/resnet50-0676ba61.pth";
        assert_eq!(url("resnet50").unwrap(), torchvision);
        assert_eq!(url("resnet50.tv_in1k"), url("resnet50"));
        let timm = "https://github.com/huggingface/pytorch-image-models/releases/download/\
                    v0.1-rsb-weights/resnet18_a1_0-d63eafa0.pth";
        assert_eq!(url("resnet18.a1_in1k").unwrap(), timm);
        assert_eq!([url("resnet20"), url("resnet18.x"), url("")], [None, None, None]);
        let usual = |arch: &str| PublishedWeights::usual(arch.parse().unwrap()).map(|w| w.name);
        assert_eq!(usual("resnet26-bottleneck"), Some("resnet26.bt_in1k"));
        assert_eq!([usual("resnet20"), usual("resnet18-cifar"), usual("plain18")], [None; 3]);
    }
}
