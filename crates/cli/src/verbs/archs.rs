//! `resnet archs`: lists the architectures.

use resnet::{Arch, model_file::PublishedWeights, models::Family, summary::Summary};
use serde::Serialize;

use crate::{
    args::Output,
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

#[derive(Serialize)]
struct Record {
    arch: String,
    family: &'static str,
    image_size: usize,
    classes: usize,
    parameters: usize,
    macs: u64,
    /// Names of published weights.
    weights: Vec<&'static str>,
}

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    let records = Arch::all().map(|arch| record(&arch)).collect::<anyhow::Result<Vec<_>>>()?;
    if output.json {
        return records.iter().try_for_each(print::json);
    }
    let headers = [
        ("name", Left),
        ("image size", Right),
        ("classes", Right),
        ("parameters", Right),
        ("MACs", Right),
        ("family", Left),
    ];
    let weights = weights(&records);
    let rows = records.into_iter().map(|r| {
        vec![
            r.arch,
            format!("{0}x{0}", r.image_size),
            r.classes.to_string(),
            print::grouped(r.parameters),
            print::macs(r.macs),
            r.family.into(),
        ]
    });
    print::line(table(&headers, rows))?;
    print::line(
        "\nEvery other depth 6n+2 is also a CIFAR network of the paper: resnet8, resnet26, ...\n\
         plain18, plain20, ... are the same networks without shortcut connections.\n\
         resnet20 and resnet18-a have shortcuts of option A, resnet20-b and resnet18 of B, -c of C.\n\
         Depth, groups and widths combine as in resnext101_32x8d-cifar and wide_resnet101_3.\n\
         Options follow a name: resnet18-cifar+maxpool (a max pool behind the 3x3 stem), \
         resnet18+nopool,\nresnet50+stride1x1 (strides in the 1x1 convolutions), \
         resnet8-sprint+w64-256-384 (channels of its\nthree stages), +gelu or +silu (activations), +eps0.001 (of batch norms).",
    )?;
    print::line(
        "\nPublished ImageNet weights, for --init. Without an ending the first is meant: tv_in1k and \
         tv2_in1k\nare torchvision's, gluon_in1k MXNet Gluon's, fb_... Facebook's (CC BY-NC 4.0: not for \
         commercial use),\nthe others timm's.",
    )?;
    print::line(weights)?;
    Ok(())
}

/// Names of published weights, a line for each architecture.
fn weights(records: &[Record]) -> String {
    let line = |record: &Record| {
        let (base, _) = record.weights.first()?.split_once('.')?;
        let endings = record.weights.iter().filter_map(|name| name.strip_prefix(base));
        Some(format!("{base:<18}{}", endings.collect::<Vec<_>>().join(" ")))
    };
    records.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

fn record(arch: &Arch) -> anyhow::Result<Record> {
    let (image_size, classes) = (arch.image_size(), arch.default_classes());
    let summary = Summary::new(&arch.graph(classes), image_size, image_size)?;
    let family = match arch.family {
        Family::ImageNet => "ImageNet",
        Family::Cifar => "CIFAR, 3x3 stem",
        Family::Paper => "CIFAR, of the paper",
        Family::Sprint => "CIFAR, made for speed",
    };
    Ok(Record {
        arch: arch.to_string(),
        family,
        image_size,
        classes,
        parameters: summary.parameters,
        macs: summary.macs,
        weights: PublishedWeights::of_arch(*arch).map(|weights| weights.name).collect(),
    })
}
