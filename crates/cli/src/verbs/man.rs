//! `resnet man`: man pages and the reference, generated from the argument definitions.

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;
use resnet_formats::Shown;

use crate::{
    args::{Cli, ManArgs},
    print, reference,
};

pub(crate) fn run(args: &ManArgs) -> anyhow::Result<()> {
    match &args.out {
        Some(folder) => {
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
            written.with_context(|| format!("cannot write man pages to {}", folder.shown()))
        }
        None if args.markdown => Ok(print::raw(reference::markdown(Cli::command()).as_bytes())?),
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            Ok(print::raw(&page)?)
        }
    }
}
