//! Takes part in a run as another process than the first.

use std::ops::ControlFlow::Break;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    data::Parts,
    train::{self, Event, Group, Outcome},
};
use resnet_formats::printable;

use crate::{
    args::{Global, TrainArgs},
    data,
    interrupt::{Interrupt, Interrupted},
    photo_folder, print,
    processes::{self, Announcement},
};

/// Computes with the others until the run ends. Process 0 writes and says everything.
pub(super) fn run(group: &Group, args: &TrainArgs, global: &Global) -> anyhow::Result<u8> {
    let is_quiet = global.quiet;
    let global = &Global { quiet: true, ..*global };
    let cpu = global.cpu()?;
    let interrupt = Interrupt::of_training(group.size()).context("cannot catch Ctrl-C")?;
    let mut kept = None;
    let (config, data) = loop {
        let Announcement { trains, config, photos } = Announcement::receive(group)?;
        let data = match kept.take() {
            Some(data) => Ok(data),
            None => load(&config, &photos, args, global, &interrupt),
        };
        let data = processes::tell_loaded(group, data)?;
        if trains {
            break (config, data);
        }
        // The plan is that of process 0.
        let stop = interrupt.signal();
        if let Break(signal) = train::measure_in_group(group, &config, &data, &cpu, stop, None)? {
            return Err(Interrupted(signal).into());
        }
        kept = Some(data);
    };
    let mut say = |event: &Event| {
        if let Event::Note(note) = event
            && !is_quiet
        {
            print::status(format!("note: process {}: {}", group.rank(), printable(note)));
        }
    };
    match train::join(group, &config, data, &cpu, interrupt.signal(), &mut say)? {
        Outcome::Finished(_) => Ok(0),
        Outcome::Interrupted(signal) => Ok(Interrupted(signal).exit_code()),
    }
}

/// Loads the data of a run on this machine: the same data set, or the same photos under the same path.
fn load(
    config: &TrainConfig,
    photos: &[u8],
    args: &TrainArgs,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Parts> {
    if config.data.photos.is_some() {
        let reading = &args.images.reading;
        return photo_folder::announced(photos, config, reading, &args.data_dir, global);
    }
    Ok(data::of_run(&config.data, &args.data_dir, global, interrupt)?.into())
}
