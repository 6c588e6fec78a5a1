//! Published ImageNet weights by name: torchvision's and timm's, of the architectures of the family.

use std::path::Path;

use super::timm::{own_name, present_name};
use crate::{data::RemoteFile, models::Arch};

/// Published ImageNet weights.
///
/// A name is timm's: an architecture, and behind a dot who trained it and how. `tv_in1k` are
/// torchvision's `IMAGENET1K_V1`, `tv2_in1k` its `IMAGENET1K_V2`, `gluon_in1k` MXNet Gluon's. Facebook's (`fb_...`) saw
/// other photos before ImageNet.
#[derive(Debug)]
pub struct PublishedWeights {
    /// The whole name.
    pub name: &'static str,
    /// Where the file is.
    folder: &'static str,
    /// Behind its last `-` are the first eight digits of the file's SHA-256 (`torch.hub`).
    file: &'static str,
}

const TORCHVISION: &str = "https://download.pytorch.org/models";
/// timm's releases: of "ResNet strikes back" (Wightman et al. 2021, arXiv 2110.00476), and others.
const RSB: &str =
    "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights";
const TIMM: &str =
    "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights";
const TPU: &str =
    "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-tpu-weights";
/// MXNet Gluon's as PyTorch files.
const GLUON: &str =
    "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1";
/// "Billion-scale semi-supervised learning" (Yalniz et al. 2019, arXiv 1905.00546).
const FACEBOOK: &str = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files";

impl PublishedWeights {
    /// All of them. Of each architecture the first are meant where no others are asked for.
    pub const ALL: &'static [PublishedWeights] = &[
        of("resnet18.tv_in1k", TORCHVISION, "resnet18-f37072fd.pth"),
        of("resnet18.a1_in1k", RSB, "resnet18_a1_0-d63eafa0.pth"),
        of("resnet18.a2_in1k", RSB, "resnet18_a2_0-b61bd467.pth"),
        of("resnet18.a3_in1k", RSB, "resnet18_a3_0-40c531c8.pth"),
        of("resnet18.gluon_in1k", GLUON, "gluon_resnet18_v1b-0757602b.pth"),
        of("resnet18.fb_ssl_yfcc100m_ft_in1k", FACEBOOK, "semi_supervised_resnet18-d92f0530.pth"),
        of(
            "resnet18.fb_swsl_ig1b_ft_in1k",
            FACEBOOK,
            "semi_weakly_supervised_resnet18-118f1556.pth",
        ),
        of("resnet18d.ra2_in1k", TIMM, "resnet18d_ra2-48a79e06.pth"),
        of("resnet26.bt_in1k", TIMM, "resnet26-9aa10e23.pth"),
        of("resnet26d.bt_in1k", TIMM, "resnet26d-69e92c46.pth"),
        of("resnet34.tv_in1k", TORCHVISION, "resnet34-b627a593.pth"),
        of("resnet34.a1_in1k", RSB, "resnet34_a1_0-46f8f793.pth"),
        of("resnet34.a2_in1k", RSB, "resnet34_a2_0-82d47d71.pth"),
        of("resnet34.a3_in1k", RSB, "resnet34_a3_0-a20cabb6.pth"),
        of("resnet34.bt_in1k", TIMM, "resnet34-43635321.pth"),
        of("resnet34.gluon_in1k", GLUON, "gluon_resnet34_v1b-c6d82d59.pth"),
        of("resnet34d.ra2_in1k", TIMM, "resnet34d_ra2-f8dcfcaf.pth"),
        of("resnet50.tv_in1k", TORCHVISION, "resnet50-0676ba61.pth"),
        of("resnet50.tv2_in1k", TORCHVISION, "resnet50-11ad3fa6.pth"),
        of("resnet50.a1_in1k", RSB, "resnet50_a1_0-14fe96d1.pth"),
        of("resnet50.a1h_in1k", RSB, "resnet50_a1h2_176-001a1197.pth"),
        of("resnet50.a2_in1k", RSB, "resnet50_a2_0-a2746f79.pth"),
        of("resnet50.a3_in1k", RSB, "resnet50_a3_0-59cae1ef.pth"),
        of("resnet50.b1k_in1k", RSB, "resnet50_b1k-532a802a.pth"),
        of("resnet50.b2k_in1k", RSB, "resnet50_b2k-1ba180c1.pth"),
        of("resnet50.c1_in1k", RSB, "resnet50_c1-5ba5e060.pth"),
        of("resnet50.c2_in1k", RSB, "resnet50_c2-d01e05b2.pth"),
        of("resnet50.d_in1k", RSB, "resnet50_d-f39db8af.pth"),
        of("resnet50.ram_in1k", TIMM, "resnet50_ram-a26f946b.pth"),
        of("resnet50.am_in1k", TIMM, "resnet50_am-6c502b37.pth"),
        of("resnet50.ra_in1k", TIMM, "resnet50_ra-85ebb6e5.pth"),
        of("resnet50.bt_in1k", TIMM, "rw_resnet50-86acaeed.pth"),
        of("resnet50.gluon_in1k", GLUON, "gluon_resnet50_v1b-0ebe02e2.pth"),
        of("resnet50.fb_ssl_yfcc100m_ft_in1k", FACEBOOK, "semi_supervised_resnet50-08389792.pth"),
        of(
            "resnet50.fb_swsl_ig1b_ft_in1k",
            FACEBOOK,
            "semi_weakly_supervised_resnet50-16a12f1b.pth",
        ),
        of("resnet50d.ra2_in1k", TIMM, "resnet50d_ra2-464e36ba.pth"),
        of("resnet50d.a1_in1k", RSB, "resnet50d_a1_0-e20cff14.pth"),
        of("resnet50d.a2_in1k", RSB, "resnet50d_a2_0-a3adc64d.pth"),
        of("resnet50d.a3_in1k", RSB, "resnet50d_a3_0-403fdfad.pth"),
        of("resnet50d.gluon_in1k", GLUON, "gluon_resnet50_v1d-818a1b1b.pth"),
        of("resnet101.tv_in1k", TORCHVISION, "resnet101-63fe2227.pth"),
        of("resnet101.tv2_in1k", TORCHVISION, "resnet101-cd907fc2.pth"),
        of("resnet101.a1_in1k", RSB, "resnet101_a1_0-cdcb52a9.pth"),
        of("resnet101.a1h_in1k", RSB, "resnet101_a1h-36d3f2aa.pth"),
        of("resnet101.a2_in1k", RSB, "resnet101_a2_0-6edb36c7.pth"),
        of("resnet101.a3_in1k", RSB, "resnet101_a3_0-1db14157.pth"),
        of("resnet101.gluon_in1k", GLUON, "gluon_resnet101_v1b-3b017079.pth"),
        of("resnet101d.ra2_in1k", TIMM, "resnet101d_ra2-2803ffab.pth"),
        of("resnet101d.gluon_in1k", GLUON, "gluon_resnet101_v1d-0f9c8644.pth"),
        of("resnet152.tv_in1k", TORCHVISION, "resnet152-394f9c45.pth"),
        of("resnet152.tv2_in1k", TORCHVISION, "resnet152-f82ba261.pth"),
        of("resnet152.a1_in1k", RSB, "resnet152_a1_0-2eee8a7a.pth"),
        of("resnet152.a1h_in1k", RSB, "resnet152_a1h-dc400468.pth"),
        of("resnet152.a2_in1k", RSB, "resnet152_a2_0-b4c6978f.pth"),
        of("resnet152.a3_in1k", RSB, "resnet152_a3_0-134d4688.pth"),
        of("resnet152.gluon_in1k", GLUON, "gluon_resnet152_v1b-c1edb0dd.pth"),
        of("resnet152d.ra2_in1k", TIMM, "resnet152d_ra2-5cac0439.pth"),
        of("resnet152d.gluon_in1k", GLUON, "gluon_resnet152_v1d-bd354e12.pth"),
        of("wide_resnet50_2.tv_in1k", TORCHVISION, "wide_resnet50_2-95faca4d.pth"),
        of("wide_resnet50_2.tv2_in1k", TORCHVISION, "wide_resnet50_2-9ba9bcbe.pth"),
        of("wide_resnet50_2.racm_in1k", TIMM, "wide_resnet50_racm-8234f177.pth"),
        of("wide_resnet101_2.tv_in1k", TORCHVISION, "wide_resnet101_2-32ee1156.pth"),
        of("wide_resnet101_2.tv2_in1k", TORCHVISION, "wide_resnet101_2-d733dc28.pth"),
        of("resnext50_32x4d.tv_in1k", TORCHVISION, "resnext50_32x4d-7cdf4587.pth"),
        of("resnext50_32x4d.tv2_in1k", TORCHVISION, "resnext50_32x4d-1a0047aa.pth"),
        of("resnext50_32x4d.a1_in1k", RSB, "resnext50_32x4d_a1_0-b5a91a1d.pth"),
        of("resnext50_32x4d.a1h_in1k", RSB, "resnext50_32x4d_a1h-0146ab0a.pth"),
        of("resnext50_32x4d.a2_in1k", RSB, "resnext50_32x4d_a2_0-efc76add.pth"),
        of("resnext50_32x4d.a3_in1k", RSB, "resnext50_32x4d_a3_0-3e450271.pth"),
        of("resnext50_32x4d.ra_in1k", TIMM, "resnext50_32x4d_ra-d733960d.pth"),
        of("resnext50_32x4d.gluon_in1k", GLUON, "gluon_resnext50_32x4d-e6a097c1.pth"),
        of(
            "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k",
            FACEBOOK,
            "semi_supervised_resnext50_32x4-ddb3e555.pth",
        ),
        of(
            "resnext50_32x4d.fb_swsl_ig1b_ft_in1k",
            FACEBOOK,
            "semi_weakly_supervised_resnext50_32x4-72679e44.pth",
        ),
        of("resnext50d_32x4d.bt_in1k", TIMM, "resnext50d_32x4d-103e99f8.pth"),
        of("resnext101_32x4d.gluon_in1k", GLUON, "gluon_resnext101_32x4d-b253c8c4.pth"),
        of(
            "resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k",
            FACEBOOK,
            "semi_supervised_resnext101_32x4-dc43570a.pth",
        ),
        of(
            "resnext101_32x4d.fb_swsl_ig1b_ft_in1k",
            FACEBOOK,
            "semi_weakly_supervised_resnext101_32x4-3f87e46b.pth",
        ),
        of("resnext101_32x8d.tv_in1k", TORCHVISION, "resnext101_32x8d-8ba56ff5.pth"),
        of("resnext101_32x8d.tv2_in1k", TORCHVISION, "resnext101_32x8d-110c445d.pth"),
        of(
            "resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k",
            FACEBOOK,
            "semi_supervised_resnext101_32x8-2cfe2f8b.pth",
        ),
        of(
            "resnext101_32x8d.fb_swsl_ig1b_ft_in1k",
            FACEBOOK,
            "semi_weakly_supervised_resnext101_32x8-b4712904.pth",
        ),
        of("resnext101_32x8d.fb_wsl_ig1b_ft_in1k", TORCHVISION, "ig_resnext101_32x8-c38310e5.pth"),
        of(
            "resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k",
            FACEBOOK,
            "semi_supervised_resnext101_32x16-15fffa57.pth",
        ),
        of(
            "resnext101_32x16d.fb_swsl_ig1b_ft_in1k",
            FACEBOOK,
            "semi_weakly_supervised_resnext101_32x16-f3559a9c.pth",
        ),
        of(
            "resnext101_32x16d.fb_wsl_ig1b_ft_in1k",
            TORCHVISION,
            "ig_resnext101_32x16-c6f796b0.pth",
        ),
        of("resnext101_64x4d.tv_in1k", TORCHVISION, "resnext101_64x4d-173b62eb.pth"),
        of("resnext101_64x4d.c1_in1k", TPU, "resnext101_64x4d_c-0d0e0cc0.pth"),
        of("resnext101_64x4d.gluon_in1k", GLUON, "gluon_resnext101_64x4d-f9a8e184.pth"),
    ];

    /// The weights of a name. The first of an architecture need no more than its name. timm's early names, such as
    /// `swsl_resnet18`, are understood.
    ///
    /// ```
    /// use resnet::model_file::PublishedWeights;
    /// let named = |name| PublishedWeights::named(name).unwrap();
    /// assert_eq!(named("resnet18").name, "resnet18.tv_in1k");
    /// assert_eq!(named("resnet50.a1_in1k").arch().to_string(), "resnet50");
    /// ```
    pub fn named(name: &str) -> Option<&'static PublishedWeights> {
        let present = present_name(name);
        let name = &*present;
        let base = |weights: &PublishedWeights| weights.name.split('.').next() == Some(name);
        PublishedWeights::ALL.iter().find(|weights| weights.name == name || base(weights))
    }

    /// All weights of an architecture.
    pub fn of_arch(arch: Arch) -> impl Iterator<Item = &'static PublishedWeights> {
        PublishedWeights::ALL.iter().filter(move |weights| weights.arch() == arch)
    }

    /// The usual weights of an architecture, if there are any that everybody may use.
    pub fn usual(arch: Arch) -> Option<&'static PublishedWeights> {
        PublishedWeights::of_arch(arch).find(|weights| !weights.is_non_commercial())
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

    /// Whether their licence forbids commercial use, as that of Facebook's does (CC BY-NC 4.0).
    pub fn is_non_commercial(&self) -> bool {
        self.name.contains(".fb_")
    }

    /// The name of the file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The address of the file.
    pub fn url(&self) -> String {
        format!("{}/{}", self.folder, self.file)
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

const fn of(name: &'static str, folder: &'static str, file: &'static str) -> PublishedWeights {
    PublishedWeights { name, folder, file }
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
        let gluon = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/\
                     v0.1/gluon_resnet50_v1d-818a1b1b.pth";
        assert_eq!(url("resnet50d.gluon_in1k").unwrap(), gluon);
        let facebook = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files/\
                        semi_supervised_resnet18-d92f0530.pth";
        assert_eq!(url("resnet18.fb_ssl_yfcc100m_ft_in1k").unwrap(), facebook);
        let usual = |arch: &str| PublishedWeights::usual(arch.parse().unwrap()).map(|w| w.name);
        assert_eq!(usual("resnet26-bottleneck"), Some("resnet26.bt_in1k"));
        assert_eq!(usual("resnext101_32x4d"), Some("resnext101_32x4d.gluon_in1k"));
        assert_eq!([usual("resnet20"), usual("resnet18-cifar"), usual("plain18")], [None; 3]);
    }

    #[test]
    fn early_names_are_understood() {
        for (early, name) in [
            ("tv_resnet34", "resnet34.tv_in1k"),
            ("gluon_resnet18_v1b", "resnet18.gluon_in1k"),
            ("gluon_resnet152_v1d", "resnet152d.gluon_in1k"),
            ("gluon_resnext101_64x4d", "resnext101_64x4d.gluon_in1k"),
            ("ssl_resnet50", "resnet50.fb_ssl_yfcc100m_ft_in1k"),
            ("swsl_resnext101_32x16d", "resnext101_32x16d.fb_swsl_ig1b_ft_in1k"),
            ("ig_resnext101_32x8d", "resnext101_32x8d.fb_wsl_ig1b_ft_in1k"),
        ] {
            assert_eq!(PublishedWeights::named(early).map(|weights| weights.name), Some(name));
        }
        for none in ["gluon_resnet50_v1c", "ssl_resnet34", "swsl_", "tv_resnet20"] {
            assert!(PublishedWeights::named(none).is_none(), "{none}");
        }
    }

    #[test]
    fn weights_that_not_everybody_may_use_are_nobodys_default() {
        let named = |name| PublishedWeights::named(name).unwrap();
        assert!(named("swsl_resnet18").is_non_commercial());
        assert!(!named("resnet18.gluon_in1k").is_non_commercial());
        let name = "resnext101_32x16d";
        assert!(PublishedWeights::usual(name.parse().unwrap()).is_none());
        assert_eq!(named(name).name, "resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k");
    }
}
