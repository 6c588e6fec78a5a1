//! `resnet recipes`: every recipe in full.

use anyhow::Context;
use resnet::recipe::Recipe;
use serde::Serialize;

use crate::{
    args::{DEFAULT_ARCH, Output},
    print,
};

#[derive(Serialize)]
struct Record {
    description: &'static str,
    #[serde(flatten)]
    recipe: Recipe,
}

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    let arch = DEFAULT_ARCH.parse()?;
    for (i, (name, description)) in Recipe::ALL.into_iter().enumerate() {
        let recipe = Recipe::named(name, arch).context("a listed recipe exists")?;
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
