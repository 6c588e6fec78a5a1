//! Decides what must be the same in all runs: batch, dtype and length.

use anyhow::bail;
use resnet::{
    Cpu,
    config::TrainConfig,
    experiment::{Decided, PlannedRun, epochs_within},
    train::{self, Speed},
};

use super::setup::Setup;
use crate::{
    args::Global,
    config::{self, Settings},
    interrupt::Interrupt,
    photo_folder, print,
    verbs::train::load,
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
        let mut config = config::build(&settings, &start, &data, None, cpu, global)?;
        if setup.data.is_folder() {
            let kept = photo_folder::cache_memory(&settings.args.images.reading, &config);
            config::fit_memory(&mut config, &settings.args, kept, cpu, global)?;
        } else {
            check_memory(&config, cpu)?;
        }
        configs.push(config);
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
            let device = global.training_device(config, 1)?;
            speeds.push((train::measure(config, &data, &device)?, config.steps_per_epoch()));
            interrupt.check()?;
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
    Ok(Decided { epochs, dtype, batch_size, lr, photos })
}

/// Refuses nets for whose batches there is no memory, before hours are spent on the others.
fn check_memory(config: &TrainConfig, cpu: &Cpu) -> anyhow::Result<()> {
    let asked = config.recipe.batch_size.min(config.data.train_images);
    match train::largest_batch(config, 0, cpu)? {
        Some(largest) if largest >= asked => Ok(()),
        Some(largest) => bail!(
            "there is memory for batches of {largest} images of {}, not of {asked}: leave it out, or \
             --batch-size {largest} for all nets",
            config.arch
        ),
        None => bail!("there is no memory to train {}: leave it out", config.arch),
    }
}
