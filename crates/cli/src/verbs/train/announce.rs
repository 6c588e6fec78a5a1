//! Tells the other processes of a run what to do.

use resnet::{config::TrainConfig, data::Parts, train::Group};

use crate::{
    photo_folder,
    processes::{self, Announcement},
};

/// Has the other processes load the data of a run, unless they have them, and then train it, or measure its speed. All do
/// what follows together.
///
/// # Errors
/// If one of them has not the data.
pub(super) fn announce(
    group: &Group,
    trains: bool,
    config: &TrainConfig,
    data: &Parts,
) -> anyhow::Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    let photos = photo_folder::names(data);
    Announcement { trains, config: config.clone(), photos }.send(group)?;
    processes::check_loaded(group)
}
