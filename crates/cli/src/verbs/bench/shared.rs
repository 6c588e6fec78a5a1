//! Training steps that several processes share, as `resnet train` takes them.

use std::time::Duration;

use resnet::{
    Device,
    config::{DataConfig, TrainConfig},
    data::{Augment, Parts},
    recipe::{DataParallel, Recipe},
    train::{self, Group, StepTime},
};

use crate::{
    args::{BenchArgs, Global, Mode},
    cores,
    device::{RATE, RandomImages, WARM_UP, Work},
    error::Usage,
};

/// Times steps as one of the processes of a group. Returns also what they were computed with.
pub(super) fn times(
    group: &Group,
    work: &Work<'_>,
    args: &BenchArgs,
    global: &Global,
) -> anyhow::Result<(Device, Vec<StepTime>)> {
    let data = RandomImages::new(work).into_parts(work);
    let config = config(work, args, &data, group.size());
    let device = match group.is_first() {
        true => {
            check(args, group.size())?;
            if let Some(note) = cores::binding_note().filter(|_| global.threads.is_none()) {
                global.note(note);
            }
            global.training_device(&config, group.size())?
        }
        false => (&global.cpu()?).into(),
    };
    // Process 0 says what is wrong. Meanwhile the others wait here, and end with it.
    group.broadcast(Vec::new())?;
    let time = Duration::from_secs_f64(args.seconds);
    let times = train::step_times(group, &config, data, device.cpu(), WARM_UP, time)?;
    Ok((device, times))
}

/// Refuses what only one process does.
fn check(args: &BenchArgs, processes: usize) -> Result<(), Usage> {
    let alone = [("--mode eval", args.mode == Mode::Eval), ("--profile", args.profile)];
    if let Some((option, _)) = alone.into_iter().find(|&(_, is_given)| is_given) {
        return Err(Usage(format!(
            "{option} measures one process, and the launcher started {processes}, which share training steps: start \
             it without the launcher"
        )));
    }
    if args.batch < processes {
        let batch = args.batch;
        return Err(Usage(format!(
            "{processes} processes cannot share batches of {batch}: --batch is for all of them together"
        )));
    }
    Ok(())
}

/// A run of such steps, with a shard of the batch for each process.
fn config(work: &Work<'_>, args: &BenchArgs, data: &Parts, processes: usize) -> TrainConfig {
    let recipe = Recipe::named("walkthrough", args.arch).expect("it is listed in Recipe::ALL");
    TrainConfig {
        arch: args.arch,
        seed: 0,
        total_steps: 1,
        init_from: None,
        init_weights: None,
        continues_after: None,
        earlier_lengths: Vec::new(),
        save_torch: false,
        data: DataConfig {
            name: data.name.clone(),
            dir: None,
            classes: data.classes.clone(),
            image_size: work.size[0],
            train_images: work.batch,
            validation: 0,
            limit_train: None,
            limit_test: None,
            normalisation: data.normalisation.clone(),
            photos: None,
        },
        recipe: Recipe {
            batch_size: work.batch,
            dtype: work.dtype,
            lr: RATE.into(),
            augment: Augment::NONE,
            parallel: DataParallel {
                shards: processes,
                wire: args.comm.wire().unwrap_or_default(),
                ..DataParallel::default()
            },
            ..recipe
        },
    }
}
