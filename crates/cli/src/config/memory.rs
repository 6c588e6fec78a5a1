//! A recipe that needs more memory than there is.

use anyhow::bail;
use resnet::{Device, config::TrainConfig, engine::memory, optim::OptimizerConfig, train};

use crate::{
    args::{Global, TrainArgs},
    cores, print,
};

/// Makes the batches of a run smaller, and the learning rate in proportion (AdamW's by the root), if there is no memory for
/// those of its recipe next to `kept` bytes of something else, in each process of this machine.
pub(crate) fn fit_memory(
    config: &mut TrainConfig,
    args: &TrainArgs,
    kept: u64,
    device: &Device,
    global: &Global,
) -> anyhow::Result<()> {
    let kept = with_others(kept);
    let asked = config.recipe.batch_size.min(config.data.train_images);
    // Where not even one image fits, training says so.
    let Some(largest) =
        train::largest_batch(config, kept, device)?.filter(|&largest| largest < asked)
    else {
        return Ok(());
    };
    let epochs = config.total_steps as f64 / config.steps_per_epoch() as f64;
    let recipe = &mut config.recipe;
    let mut note = format!("{} for batches of {largest} images, not of {asked}", memory_of(device));
    if args.recipe.optimizer.lr.is_some() {
        recipe.batch_size = largest;
    } else {
        recipe.batch_size = asked;
        recipe.set_batch_size(largest);
        let how = match recipe.optimizer {
            OptimizerConfig::Sgd(_) => "in proportion",
            OptimizerConfig::AdamW(_) => "in proportion to the root",
        };
        note += &format!("; the learning rate is {}, {how}", print::rate(recipe.lr as f32));
    }
    config.total_steps = (epochs * config.steps_per_epoch() as f64).round() as u64;
    global.note(note);
    Ok(())
}

/// Refuses a batch that was asked for, if the device has no memory for it next to `kept` bytes of something else.
/// `instead` says what else a person could do than take a smaller one, or keep photos on disk.
pub(crate) fn check_memory(
    config: &TrainConfig,
    kept: u64,
    device: &Device,
    instead: &str,
) -> anyhow::Result<()> {
    let asked = config.recipe.batch_size.min(config.data.train_images);
    let (has, instead) = (memory_of(device), instead_of(instead, kept, device));
    match train::largest_batch(config, with_others(kept), device)? {
        Some(largest) if largest >= asked => Ok(()),
        Some(largest) => bail!(
            "{has} for batches of {largest} images of {}, not of {asked}: {instead}, or \
             --batch-size {largest}",
            config.arch
        ),
        None if device.is_gpu() => {
            bail!("{} has no memory to train {}: {instead}", device.name(), config.arch)
        }
        None => bail!("there is no memory to train {}: {instead}", config.arch),
    }
}

/// Whose memory it is that a batch needs.
fn memory_of(device: &Device) -> String {
    if device.is_gpu() {
        format!("{} has memory", device.name())
    } else {
        "there is memory".to_owned()
    }
}

/// What a person could do, which also makes room where `kept` bytes are something else's. Photos take none of a card's
/// memory.
fn instead_of(instead: &str, kept: u64, device: &Device) -> String {
    match (device.is_gpu(), kept) {
        (true, _) => format!("{instead}, or --device cpu"),
        (false, 0) => instead.to_owned(),
        (false, _) => format!("--cache disk, or {instead}"),
    }
}

/// These bytes, and those that are left to the other processes of this machine.
fn with_others(kept: u64) -> u64 {
    kept.saturating_add(train::memory_of_others(memory::available(), cores::processes_here()))
}
