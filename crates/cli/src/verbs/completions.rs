//! `resnet completions`: prints a completion script, which calls `resnet` for the candidates.

use clap_complete::env::Shells;

use crate::{args::CompletionsArgs, completion, print};

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).expect("they are the shells of the argument");
    let mut script = Vec::new();
    shell.write_registration(completion::VARIABLE, "resnet", "resnet", "resnet", &mut script)?;
    Ok(print::raw(&script)?)
}
