//! `resnet recipes`: prints every recipe in full, with the default dtype of this machine.

use anyhow::Context;
use resnet::{Dtype, recipe::Recipe};
use serde::Serialize;

use crate::{
    args::{Global, Output},
    print,
};

#[derive(Serialize)]
struct Record {
    description: &'static str,
    #[serde(flatten)]
    recipe: Recipe,
}

pub(crate) fn run(output: Output, global: &Global) -> anyhow::Result<()> {
    let dtype = Dtype::fastest(&global.cpu()?);
    for (i, (name, description)) in Recipe::ALL.into_iter().enumerate() {
        let arch = Recipe::default_arch(name).parse()?;
        let mut recipe = Recipe::named(name, arch).context("every listed recipe exists")?;
        recipe.dtype = dtype;
        if output.json {
            print::json(&Record { description, recipe })?;
            continue;
        }
        let default = if i == 0 { " (default)" } else { "" };
        print::line(format!("# {name}{default}: {description}"))?;
        print::line(toml::to_string(&recipe)?)?;
    }
    Ok(())
}
