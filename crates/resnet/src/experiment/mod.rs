//! The paper's experiments (He et al. 2015): several nets trained one after another, each in a run folder of
//! its own, and what comes of them.
//!
//! [`Kind`] says which nets an experiment has, [`runs`] lists their runs. The folder of an experiment has a
//! [file of settings](Experiment), by which it is continued, and the run folders; a [`RunHistory`] is what
//! one of them has recorded, and [`Results`] compares them. [`responses`](responses()) measures the layer
//! responses of a trained net.
//!
//! ```
//! use resnet::experiment::{Kind, runs};
//! let nets = Kind::Degradation.nets(&[20, 56])?;
//! let folders: Vec<String> = runs(&nets, 1).iter().map(|run| run.folder()).collect();
//! assert_eq!(folders, ["plain20-seed0", "plain56-seed0", "resnet20-seed0", "resnet56-seed0"]);
//! # Ok::<(), resnet::models::UnknownArch>(())
//! ```

mod error;
mod file;
mod history;
mod plan;
mod published;
mod responses;
mod results;
mod spread;

pub use error::ExperimentError;
pub use file::{Decided, Experiment, PhotosSeen, is_experiment, lock_folder};
pub use history::RunHistory;
pub use plan::{Kind, PlannedRun, epochs_within, runs};
pub use published::{CIFAR10, IMAGENET, Published, published};
pub use responses::{Response, layers, responses};
pub use results::{BestEpoch, Comparison, LEVELS, NetResult, Point, Results, RunResult};
pub use spread::{Difference, Spread};
