//! `resnet completions`: prints a completion script, generated from the argument definitions.

use clap::CommandFactory;

use crate::{
    args::{Cli, CompletionsArgs},
    print,
};

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "resnet", &mut script);
    Ok(print::raw(&script)?)
}
