//! `resnet data`: downloads, verifies and describes data sets, and checks folders of photos.

mod check;
mod page;
mod preview;
mod problems;
mod suspects;

use anyhow::{Context, bail};
use resnet::data::{self as sets, DatasetInfo, FileCheck, FileState};
use resnet_formats::{Shown, printable};
use serde::Serialize;

use crate::{
    args::{DataArgs, DataCheckArgs, DataVerb, Global},
    data,
    interrupt::Interrupt,
    photos::json_name,
    print,
    table::{Align::Left, table},
};

/// A line of `data verify --json`.
#[derive(Serialize)]
struct FileRecord<'a> {
    file: String,
    #[serde(flatten)]
    check: &'a FileCheck,
}

/// The output of `data info --json`.
#[derive(Serialize)]
struct InfoRecord<'a> {
    #[serde(flatten)]
    info: &'a DatasetInfo,
    /// None of a generated data set.
    folder: Option<String>,
}

pub(crate) fn run(verb: &DataVerb, global: &Global) -> anyhow::Result<()> {
    match verb {
        DataVerb::Fetch(args) => fetch(args, global),
        DataVerb::Verify(args) => verify(args),
        DataVerb::Info(args) => info(args),
        DataVerb::Check(args) => check::run(args, global),
        DataVerb::Preview(args) => preview::run(args, global),
        DataVerb::Suspects(args) => suspects::run(args, global),
    }
}

fn fetch(args: &DataArgs, global: &Global) -> anyhow::Result<()> {
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let folder = data::fetch(args.name, &args.data_dir.folder()?, global, &interrupt)?;
    global.status(match folder {
        Some(folder) => format!("{} is complete in {}", args.name, folder.shown()),
        None => format!("{} is generated: there is nothing to download", args.name),
    });
    Ok(())
}

fn verify(args: &DataCheckArgs) -> anyhow::Result<()> {
    let name = args.data.name;
    let checks = sets::verify(name.name(), &args.data.data_dir.folder()?)?;
    let printed = print_checks(args, &checks);
    let bad = checks.iter().filter(|check| check.state != FileState::Good).count();
    if bad > 0 {
        bail!(
            "{bad} of the {} files of {name} are missing or damaged: run `resnet data fetch \
             {name}{}`",
            checks.len(),
            args.data.data_dir.as_option()
        );
    }
    printed
}

fn print_checks(args: &DataCheckArgs, checks: &[FileCheck]) -> anyhow::Result<()> {
    let name = args.data.name;
    if args.output.json {
        return checks.iter().try_for_each(|check| {
            print::json(&FileRecord { file: json_name(&check.file), check })
        });
    }
    if checks.is_empty() {
        print::line(format!("{name} is generated: it has no files to verify"))?;
    } else {
        let rows = checks.iter().map(|check| {
            let state = match &check.state {
                FileState::Good => "good".to_owned(),
                FileState::Missing => "missing".to_owned(),
                FileState::Damaged(md5) => {
                    format!("damaged: expected MD5 {}, got {md5}", check.expected)
                }
                FileState::Length(got) => {
                    format!(
                        "damaged: expected {} bytes, got {got}",
                        check.length.map_or_else(|| "fewer".into(), |length| length.to_string())
                    )
                }
                FileState::Unreadable(reason) => format!("damaged: it {}", printable(reason)),
            };
            vec![check.file.shown().to_string(), state]
        });
        print::line(table(&[("file", Left), ("state", Left)], rows))?;
    }
    Ok(())
}

fn info(args: &DataCheckArgs) -> anyhow::Result<()> {
    let info = sets::info(args.data.name.name(), &args.data.data_dir.folder()?)?;
    if args.output.json {
        let folder = info.folder.as_deref().map(json_name);
        return print::json(&InfoRecord { info: &info, folder });
    }
    let place = match (&info.folder, info.present) {
        (None, _) => "none, the images are generated".to_owned(),
        (Some(folder), true) => folder.shown().to_string(),
        (Some(folder), false) => format!("{} (not downloaded yet)", folder.shown()),
    };
    let n = print::grouped;
    let channels =
        |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    for (label, value) in [
        ("name", info.name.to_owned()),
        ("images", format!("{} training, {} test", n(info.train), n(info.test))),
        ("size", format!("{}x{}, {} channels", info.height, info.width, info.channels)),
        ("classes", info.classes.join(" ")),
        ("mean", channels(&info.normalisation.mean)),
        ("std", channels(&info.normalisation.std)),
        ("folder", place),
    ] {
        print::line(format!("{label:<8}{value}"))?;
    }
    Ok(())
}
