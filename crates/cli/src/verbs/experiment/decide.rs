//! Decides what must be the same in all runs: device, batch, dtype and length.

use std::{ops::ControlFlow, path::Path};

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    engine::memory,
    experiment::{Decided, ExperimentError, PlannedRun, epochs_within},
    train::{self, Group, Speed},
};
use resnet_formats::{Shown, brief};

use super::setup::Setup;
use crate::{
    args::Global,
    config::{self, Settings},
    device::{self, DeviceArg},
    interrupt::{Interrupt, Interrupted},
    photo_folder, print,
    verbs::train::{existing, load},
};

/// Decides it before the first run: the memory must hold a step of each net, and with a budget the speed of
/// each is measured.
pub(super) fn decide(
    setup: &Setup<'_>,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Decided> {
    let cpu = &global.cpu()?;
    let args = |net| setup.train_args(PlannedRun { net, seed: 0 }, None);
    let data = load(&args(setup.nets[0]), setup.nets[0], global, interrupt)?;
    let mut configs: Vec<TrainConfig> = Vec::new();
    for &net in &setup.nets {
        let settings = Settings::new(&args(net), global)?;
        let start = settings.starting_point();
        configs.push(config::build(&settings, &start, &data, None, cpu, global)?);
    }
    // The first net's is that of all.
    let device = &global.training_device(&configs[0], 1)?;
    for (config, &net) in configs.iter_mut().zip(&setup.nets) {
        let kept = photo_folder::cache_memory(&data, config);
        if setup.data.is_folder() && setup.args.batch_size.is_none() {
            // A later run may find less memory, and has the same batch.
            let reserve = memory::available().map_or(0, |bytes| bytes as u64 / 8);
            config::fit_memory(config, &args(net), kept.saturating_add(reserve), device, global)?;
        }
        // Before hours are spent on the others.
        config::check_memory(config, kept, device, "leave it out")?;
    }
    let smallest = configs.iter().min_by_key(|config| config.recipe.batch_size);
    let recipe = smallest.map_or_else(|| configs[0].recipe.clone(), |config| config.recipe.clone());
    for config in &mut configs {
        (config.recipe.batch_size, config.recipe.lr) = (recipe.batch_size, recipe.lr);
    }
    let mut epochs = setup.args.epochs.map(|epochs| epochs as u64);
    if let Some(budget) = setup.args.budget {
        global.status(format!(
            "measuring the training speed of {} to fit {}",
            print::counted(configs.len() as u64, "net"),
            humantime::format_duration(budget)
        ));
        let mut speeds: Vec<(Speed, u64)> = Vec::new();
        for config in &configs {
            let (stop, folder) = (interrupt.signal(), Some(existing(&setup.folder)));
            let measured =
                train::measure_in_group(&Group::alone(), config, &data, device, stop, folder)?;
            match measured {
                ControlFlow::Continue(speed) => speeds.push((speed, config.steps_per_epoch())),
                ControlFlow::Break(signal) => return Err(Interrupted(signal).into()),
            }
        }
        let seeds = setup.args.seeds as u64;
        let one: f64 = speeds.iter().map(|(speed, steps)| speed.seconds(*steps, *steps)).sum();
        if seeds as f64 * one > budget.as_secs_f64() {
            let time = print::clock(seeds as f64 * one);
            global.note(format!("one epoch of all runs takes {time}, more than the budget"));
        }
        let fitted = epochs_within(budget, &speeds, seeds);
        global.status(format!("every run gets {}", print::counted(fitted, "epoch")));
        epochs = Some(fitted);
    }
    let photos = setup.photos()?;
    let (dtype, batch_size, lr) = (recipe.dtype, recipe.batch_size, recipe.lr);
    let device = Some(device.name().to_owned());
    Ok(Decided { epochs, dtype, batch_size, lr, device, photos })
}

/// The options with the device of all runs: `auto` takes the one that the experiment was begun on.
///
/// # Errors
/// If another one is asked for, or that one cannot be used.
pub(super) fn on_its_device(
    decided: &Decided,
    folder: &Path,
    global: &Global,
) -> anyhow::Result<Global> {
    // Of an earlier version.
    let Some(begun) = &decided.device else {
        return Ok(Global { device: global.device, ..*global });
    };
    let unusable = || {
        format!(
            "the experiment in {} was begun on {}, which cannot be used here: continue it there, or begin another \
             with --out",
            folder.shown(),
            brief(begun)
        )
    };
    let (device, here) = match global.device {
        DeviceArg::Auto => {
            let device = device::of_name(begun).with_context(unusable)?;
            (device, device::name(device).with_context(unusable)?)
        }
        asked => (asked, device::name(asked)?),
    };
    if let Some(here) = here.filter(|here| here != begun) {
        let difference = format!("device there: {}, here: {}", brief(begun), brief(&here));
        return Err(ExperimentError::Other { folder: folder.to_owned(), difference }.into());
    }
    Ok(Global { device, ..*global })
}

#[cfg(test)]
mod tests {
    use resnet::Dtype;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn all_runs_have_the_device_of_the_first() {
        let of = |begun: Option<&str>, asked: &str| {
            let words = ["resnet", "experiment", "depth", "--device", asked];
            let global = Cli::parsed(words).unwrap().global;
            let decided = Decided {
                epochs: None,
                dtype: Dtype::Fp32,
                batch_size: 128,
                lr: 0.1,
                device: begun.map(str::to_owned),
                photos: None,
            };
            on_its_device(&decided, Path::new("out"), &global).map(|global| global.device)
        };
        assert_eq!(of(Some("cpu"), "auto").unwrap(), DeviceArg::Cpu);
        assert_eq!(of(Some("cpu"), "cpu").unwrap(), DeviceArg::Cpu);
        // Of an earlier version.
        assert_eq!(of(None, "auto").unwrap(), DeviceArg::Auto);
        assert_eq!(of(None, "cpu").unwrap(), DeviceArg::Cpu);
        let error = of(Some("A card"), "cpu").unwrap_err().to_string();
        assert!(error.contains("device there: A card, here: cpu"), "{error}");
        assert!(error.contains("--out"), "{error}");
        let error = of(Some("A card"), "auto").unwrap_err().to_string();
        assert!(error.contains("was begun on A card, which cannot be used here"), "{error}");
        assert!(error.contains("--out"), "{error}");
    }
}
