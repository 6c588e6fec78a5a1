//! What is measured for a time budget, by one process or several, which are threads here.

use std::{fs, ops::ControlFlow, path::Path, sync::Arc, thread, time::Duration};

use resnet::{
    Cpu,
    config::TrainConfig,
    data::{Augment, CacheOptions, DataError, Dataset, Parts},
    recipe::Freeze,
    train::{CommError, Group, Speed, StopFlag, TrainError, measure_in_group, step_times},
};
use resnet_comm::in_process;

use crate::common::{
    processes::in_shards,
    processes_on_photos::{of_photos, photos, photos_of},
    small_run::{IMAGES, config, dataset},
};

fn measured(
    config: &TrainConfig,
    data: &Parts,
    signal: usize,
    folder: Option<&Path>,
) -> ControlFlow<usize, Speed> {
    let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(signal));
    measure_in_group(&Group::alone(), config, data, &cpu, &stop, folder).unwrap()
}

#[test]
fn checkpoints_are_counted_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, mut data) = (config(), Parts::from(dataset()));
    // Nothing else takes time after an epoch.
    (config.data.train_images, config.data.validation) = (IMAGES, 0);
    data.test = None;
    config.save_torch = true;
    let epoch_end = |folder: &Path| {
        let speed = measured(&config, &data, 0, Some(folder));
        speed.continue_value().unwrap().epoch_end
    };
    assert!(epoch_end(folder.path()) > 0.0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // What cannot be written takes no time.
    assert_eq!(epoch_end(&folder.path().join("gone")), 0.0);
}

#[test]
fn features_are_counted_before_the_first_step() {
    let (mut config, data) = (config(), Parts::from(dataset()));
    let speed = |config: &TrainConfig| measured(config, &data, 0, None).continue_value().unwrap();
    assert_eq!(speed(&config).start, 0.0);
    config.recipe.freeze = vec![Freeze::backbone(&config.arch.graph(10))];
    config.recipe.augment = Augment::NONE;
    let Speed { start, step, first_step, .. } = speed(&config);
    assert!(start > 0.0 && first_step == step, "{start} {step} {first_step}");
}

/// The images that are measured are few, but those of the run decide.
#[test]
#[cfg(target_os = "linux")]
fn features_that_memory_cannot_hold_are_not_counted() {
    let (mut config, data) = (config(), Parts::from(dataset()));
    config.recipe.freeze = vec![Freeze::backbone(&config.arch.graph(10))];
    config.recipe.augment = Augment::NONE;
    config.data.validation = 1 << 50;
    let speed = measured(&config, &data, 0, None).continue_value().unwrap();
    assert_eq!(speed.start, 0.0);
}

#[test]
fn wrong_configurations_and_images_without_pixels_are_refused() {
    let (mut wrong, mut short) = (config(), dataset());
    wrong.recipe.batch_size = 0;
    short.train.pixels.pop();
    let (group, cpu, stop) = (Group::alone(), Cpu::new(1).unwrap(), StopFlag::new(0));
    let measured = |config: &TrainConfig, data: &Dataset| {
        measure_in_group(&group, config, &data.clone().into(), &cpu, &stop, None).unwrap_err()
    };
    let timed = |config: &TrainConfig, data: &Dataset| {
        step_times(&group, config, data.clone(), &cpu, 0, Duration::ZERO).unwrap_err()
    };
    for error in [measured(&wrong, &dataset()), timed(&wrong, &dataset())] {
        assert!(error.to_string().contains("--batch-size"), "{error}");
    }
    for error in [measured(&config(), &short), timed(&config(), &short)] {
        assert!(matches!(error, TrainError::Images(DataError::Pixels { .. })), "{error}");
    }
}

#[test]
fn a_signal_ends_it() {
    let data = Parts::from(dataset());
    assert_eq!(measured(&config(), &data, 2, None), ControlFlow::Break(2));
}

/// What this many processes come to, which all do the same.
fn each<T: Send + 'static>(
    processes: usize,
    work: impl Fn(&Group) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let work = Arc::new(work);
    let start = |transport| {
        let work = Arc::clone(&work);
        thread::spawn(move || {
            let group = Group::start(move || Ok::<_, CommError>(transport)).unwrap();
            let end = work(&group);
            group.finish(0).unwrap();
            end
        })
    };
    let threads: Vec<_> = in_process(processes).into_iter().map(start).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn processes_measure_a_speed_together() {
    let folder = tempfile::tempdir().unwrap();
    for is_frozen in [false, true] {
        let root = folder.path().to_owned();
        let speeds = each(2, move |group| {
            let own = root.join(group.rank().to_string());
            let (mut config, mut data) = (of_photos(), photos_of(&own));
            if !is_frozen {
                config.recipe.freeze.clear();
            }
            if group.rank() == 1 {
                // Process 0 sends the weights of a run.
                config.init_from = Some(own.join("not-here.safetensors"));
                // Process 0 has no cache.
                let cache = CacheOptions::Memory { bytes: 1 << 20 };
                data.train = photos(&own.join("train"), 8, cache);
            }
            let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(0));
            let speed = measure_in_group(group, &config, &data, &cpu, &stop, None).unwrap();
            speed.continue_value().unwrap()
        });
        assert!(speeds.iter().all(|speed| speed.step > 0.0 && speed.epoch_end > 0.0), "{speeds:?}");
    }
}

#[test]
fn processes_that_cannot_share_a_run_do_not_measure_it() {
    let errors = each(3, |group| {
        let data: Parts = dataset().into();
        let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(0));
        measure_in_group(group, &in_shards(4), &data, &cpu, &stop, None).unwrap_err()
    });
    assert!(errors.iter().all(|error| matches!(error, TrainError::Shards(_))), "{errors:?}");
}

/// Where only process 1 gets the signal, both stop.
#[test]
fn processes_stop_measuring_together() {
    let ends = each(2, |group| {
        let data: Parts = dataset().into();
        let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(15 * group.rank()));
        measure_in_group(group, &in_shards(2), &data, &cpu, &stop, None).unwrap().break_value()
    });
    assert_eq!(ends, [Some(15), Some(15)]);
}

#[test]
fn steps_are_timed_until_the_first_process_has_had_its_time() {
    let times = each(2, |group| {
        let time = Duration::from_millis(if group.rank() == 0 { 600_000 } else { 100 });
        step_times(group, &in_shards(2), dataset(), &Cpu::new(1).unwrap(), 2, time).unwrap()
    });
    assert!(!times[0].is_empty() && times[0].len() == times[1].len(), "{times:?}");
    assert!(times.concat().iter().all(|time| time.waited <= time.step), "{times:?}");
}
