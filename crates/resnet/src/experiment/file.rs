//! The file of an experiment's settings.

use std::{collections::BTreeMap, fs, io, path::Path};

use resnet_formats::{Lock, atomic_write, brief, lock, read_text};
use serde::{Deserialize, Serialize};

use super::ExperimentError;
use crate::{
    Dtype,
    data::PhotoSet,
    run::{CONFIG, EXPERIMENT, METRICS},
};

/// Far more than any experiment's settings need.
const MAX_BYTES: u64 = 1 << 20;

/// An experiment: what was asked for, and what was decided when it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its [name](super::Kind::name).
    pub name: String,
    /// The data set, or the absolute path of a folder of photos.
    pub data: String,
    /// The nets.
    pub nets: Vec<String>,
    /// How many seeds: 0 and up. An experiment may get more of them later, or be shown with fewer.
    pub seeds: u64,
    /// The other settings that were given, by the names of their options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// What was decided when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

/// What is measured or depends on the machine, and must be the same in all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Epochs of every run; none for the recipe's own length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Storage type of activations.
    pub dtype: Dtype,
    /// Images per step.
    pub batch_size: usize,
    /// The learning rate.
    pub lr: f64,
    /// The name of the [device](crate::Device::name) of all runs; none in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The photos, if the data are photos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photos: Option<PhotosSeen>,
}

/// Which photos there are, before any are held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotosSeen {
    /// How many.
    pub count: usize,
    /// The MD5 of their names and classes ([`PhotoSet::identity`](crate::data::PhotoSet::identity)).
    pub md5: String,
}

impl PhotosSeen {
    /// The photos of a set.
    pub fn of(set: &PhotoSet) -> PhotosSeen {
        let (count, md5) = set.identity();
        PhotosSeen { count, md5 }
    }
}

/// Creates the folder of an experiment if it does not exist, and locks it: no other process runs the
/// experiment until the lock is dropped.
///
/// # Errors
/// If it cannot be created, or another process has the lock.
pub fn lock_folder(folder: &Path) -> Result<Lock, ExperimentError> {
    let error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ExperimentError::Io { action, path, source }
    };
    fs::create_dir_all(folder).map_err(error("create", folder))?;
    let file = folder.join(".lock");
    lock(&file)
        .map_err(error("write", &file))?
        .ok_or_else(|| ExperimentError::Busy(folder.to_owned()))
}

/// Whether a folder is that of an experiment.
pub fn is_experiment(folder: &Path) -> bool {
    folder.join(EXPERIMENT).is_file()
}

impl Experiment {
    /// The experiment of a folder.
    ///
    /// # Errors
    /// If its file cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Experiment, ExperimentError> {
        let path = folder.join(EXPERIMENT);
        let text = match read_text(&path, MAX_BYTES) {
            Ok(text) => text,
            Err(source) => return Err(ExperimentError::Io { action: "read", path, source }),
        };
        toml::from_str(&text).map_err(|error| {
            let message = format!("it is damaged: {}", brief(error.message()));
            ExperimentError::Damaged { path, message }
        })
    }

    /// This experiment in a folder: as it was begun there but for the number of seeds, or as it is if the
    /// folder has none.
    ///
    /// # Errors
    /// If the folder has an experiment with other settings, or a run.
    pub fn in_folder(self, folder: &Path) -> Result<Experiment, ExperimentError> {
        let path = folder.join(EXPERIMENT);
        match fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_there = |name: &&str| folder.join(name).symlink_metadata().is_ok();
                return match [CONFIG, METRICS].iter().any(is_there) {
                    true => Err(ExperimentError::Run(folder.to_owned())),
                    false => Ok(self),
                };
            }
            Err(source) => return Err(ExperimentError::Io { action: "read", path, source }),
        }
        let begun = Experiment::read(folder)?;
        match self.difference(&begun) {
            None => Ok(Experiment { seeds: self.seeds, ..begun }),
            Some(difference) => {
                Err(ExperimentError::Other { folder: folder.to_owned(), difference })
            }
        }
    }

    /// The first setting in which another experiment, of a folder, differs from this one.
    fn difference(&self, begun: &Experiment) -> Option<String> {
        let all = |experiment: &Experiment| {
            let Experiment { name, data, nets, settings, .. } = experiment;
            let mut all = settings.clone();
            for (key, value) in
                [("experiment", name.clone()), ("data", data.clone()), ("nets", nets.join(","))]
            {
                all.insert(key.to_owned(), value);
            }
            all
        };
        let (asked, begun) = (all(self), all(begun));
        let mut keys = ["experiment", "data", "nets"].map(str::to_owned).to_vec();
        keys.extend(begun.keys().chain(asked.keys()).cloned());
        let key = keys.into_iter().find(|key| asked.get(key) != begun.get(key))?;
        let text = |all: &BTreeMap<String, String>| {
            all.get(&key).map_or("not given".to_owned(), |value| brief(value).to_string())
        };
        Some(format!("{} there: {}, here: {}", brief(&key), text(&begun), text(&asked)))
    }

    /// Writes the file into the folder of the experiment.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ExperimentError> {
        let path = folder.join(EXPERIMENT);
        let text = toml::to_string(self).map_err(io::Error::other);
        let written = text.and_then(|text| atomic_write(&path, |w| w.write_all(text.as_bytes())));
        written.map_err(|source| ExperimentError::Io { action: "write", path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment() -> Experiment {
        let settings = [("epochs", "2"), ("batch-size", "64")];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Experiment {
            name: "degradation".into(),
            data: "synthetic".into(),
            nets: vec!["plain8".into(), "resnet8".into()],
            seeds: 2,
            settings: settings.into(),
            decided: None,
        }
    }

    #[test]
    fn the_same_experiment_is_continued_with_what_was_decided() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(experiment().in_folder(dir.path()).unwrap(), experiment());
        assert!(!is_experiment(dir.path()), "looking writes nothing");
        let decided = Decided {
            epochs: Some(7),
            dtype: Dtype::Bf16,
            batch_size: 128,
            lr: 0.1,
            device: Some("cpu".into()),
            photos: None,
        };
        let begun = Experiment { decided: Some(decided), ..experiment() };
        begun.write(dir.path()).unwrap();
        assert!(is_experiment(dir.path()));
        assert_eq!(experiment().in_folder(dir.path()).unwrap(), begun);
        // With more seeds too.
        let more = Experiment { seeds: 5, ..experiment() };
        let expected = Experiment { seeds: 5, ..begun };
        assert_eq!(more.in_folder(dir.path()).unwrap(), expected);
        // Earlier versions noted no device.
        let path = dir.path().join(EXPERIMENT);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("device = \"cpu\"\n", "")).unwrap();
        let read = Experiment::read(dir.path()).unwrap().decided.unwrap();
        assert_eq!((read.device, read.batch_size), (None, 128));
    }

    #[test]
    fn another_experiment_is_refused_by_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        experiment().write(dir.path()).unwrap();
        type Change = fn(&mut Experiment);
        let cases: [(Change, &str); 5] = [
            (|e| e.name = "depth".into(), "experiment there: degradation, here: depth"),
            (|e| e.data = "cifar10".into(), "data there: synthetic, here: cifar10"),
            (|e| drop(e.nets.pop()), "nets there: plain8,resnet8, here: plain8"),
            (|e| drop(e.settings.remove("epochs")), "epochs there: 2, here: not given"),
            (
                |e| drop(e.settings.insert("validation".into(), "9".into())),
                "validation there: not given, here: 9",
            ),
        ];
        for (change, difference) in cases {
            let mut other = experiment();
            change(&mut other);
            let error = other.in_folder(dir.path()).unwrap_err().to_string();
            assert!(error.contains(difference) && error.contains("--out"), "{error}");
        }
    }

    #[test]
    fn run_folders_and_damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(EXPERIMENT), "name = 3").unwrap();
        let error = experiment().in_folder(dir.path()).unwrap_err().to_string();
        assert!(error.contains("experiment.toml: it is damaged"), "{error}");
        fs::remove_file(dir.path().join(EXPERIMENT)).unwrap();
        fs::write(dir.path().join(METRICS), "").unwrap();
        let error = experiment().in_folder(dir.path()).unwrap_err();
        assert!(matches!(error, ExperimentError::Run(_)), "{error}");
    }
}
