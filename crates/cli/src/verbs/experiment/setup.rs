//! The nets, data and settings of an experiment, from the arguments.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use resnet::{
    Arch, Dtype,
    data::{self, DataSource, PhotoSet},
    experiment::{Decided, Experiment, Kind, PhotosSeen, PlannedRun},
};

use crate::{
    args::{Cli, DataArg, ExperimentArgs, InitArg, TrainArgs},
    config::absolute,
    error::Usage,
    runs,
};

/// The recipe of every run.
pub(super) const RECIPE: &str = "paper";

/// An experiment as it was asked for.
pub(super) struct Setup<'a> {
    pub(super) args: &'a ExperimentArgs,
    pub(super) kind: Kind,
    pub(super) data: DataArg,
    pub(super) nets: Vec<Arch>,
    pub(super) folder: PathBuf,
}

impl Setup<'_> {
    pub(super) fn new(args: &ExperimentArgs) -> anyhow::Result<Setup<'_>> {
        let kind = Kind::from(args.name);
        let data = args.data.clone().unwrap_or(DataArg::Named(DataSource::Cifar10));
        let nets = match (&args.nets[..], &args.depths[..]) {
            ([], []) => kind.nets(kind.depths())?,
            ([], depths) => kind.nets(depths).map_err(|error| Usage(error.to_string()))?,
            (nets, _) => nets.to_vec(),
        };
        if let Some((_, net)) = nets.iter().enumerate().find(|(i, net)| nets[..*i].contains(net)) {
            return Err(Usage(format!("{net} is named twice (--nets, --depths)")).into());
        }
        let same_size = nets.iter().all(|net| net.image_size() == nets[0].image_size());
        if data.is_folder() && args.images.image_size.is_none() && !same_size {
            let message =
                "the nets are made for images of different sizes: give one with --image-size";
            return Err(Usage(message.into()).into());
        }
        let default = || runs::folder(&format!("experiment-{kind}-{}", data.in_a_name()));
        let folder = args.out.clone().unwrap_or_else(default);
        Ok(Setup { args, kind, data, nets, folder })
    }

    /// The experiment with the settings that were given. What does not change the results is none of them.
    pub(super) fn experiment(&self) -> anyhow::Result<Experiment> {
        let ExperimentArgs { images, epochs, budget, batch_size, dtype, .. } = self.args;
        let path = |path: &Path| -> anyhow::Result<String> {
            Ok(absolute(path)?.to_string_lossy().into_owned())
        };
        let text = |n: &usize| n.to_string();
        let numbers = |channels: &[f32; 3]| channels.map(|x| x.to_string()).join(",");
        let settings = [
            ("epochs", epochs.as_ref().map(text)),
            ("budget", budget.map(|time| humantime::format_duration(time).to_string())),
            ("batch-size", batch_size.as_ref().map(text)),
            ("dtype", dtype.map(|dtype| Dtype::from(dtype).to_string())),
            ("validation", images.validation.map(|share| share.to_string())),
            ("limit-train", images.limit_train.as_ref().map(text)),
            ("limit-test", images.limit_test.as_ref().map(text)),
            ("image-size", images.image_size.as_ref().map(text)),
            ("labels", images.labels.as_deref().map(path).transpose()?),
            ("mean", images.normalisation.mean.map(|mean| numbers(&mean.0))),
            ("mean-image", images.mean_image.then(|| "yes".to_owned())),
            ("std", images.normalisation.std.map(|std| numbers(&std.0))),
        ];
        let settings: BTreeMap<String, String> = settings
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        Ok(Experiment {
            name: self.kind.name().to_owned(),
            data: match &self.data {
                DataArg::Named(source) => source.name().to_owned(),
                DataArg::Folder(root) => path(root)?,
            },
            nets: self.nets.iter().map(ToString::to_string).collect(),
            seeds: self.args.seeds as u64,
            settings,
            decided: None,
        })
    }

    /// The arguments of `resnet train` for a run.
    pub(super) fn train_args(&self, run: PlannedRun, decided: Option<&Decided>) -> TrainArgs {
        let ExperimentArgs { images, data_dir, epochs, batch_size, dtype, .. } = self.args;
        let mut train = Cli::train();
        let given = ["DATA", "--arch", "--recipe", "--seed", "--out"];
        train.given = given.map(str::to_owned).to_vec();
        train.data = self.data.clone();
        train.arch = run.net;
        train.images = images.clone();
        train.data_dir = data_dir.clone();
        train.start.init = Some(InitArg::Nothing);
        train.out = Some(self.folder.join(run.folder()));
        let recipe = &mut train.recipe;
        recipe.recipe = RECIPE.to_owned();
        recipe.seed = run.seed;
        (recipe.epochs, recipe.batch_size, recipe.dtype) = (*epochs, *batch_size, *dtype);
        if let Some(Decided { epochs, dtype, batch_size, lr, .. }) = decided {
            recipe.epochs = epochs.map(|epochs| epochs as usize);
            recipe.dtype = Some((*dtype).into());
            recipe.batch_size = Some(*batch_size);
            recipe.optimizer.lr = Some(*lr);
        }
        train
    }

    /// The photos that there are now, if the data are photos.
    pub(super) fn photos(&self) -> anyhow::Result<Option<PhotosSeen>> {
        let DataArg::Folder(root) = &self.data else { return Ok(None) };
        let labels = self.args.images.labels.as_ref().map(absolute).transpose()?;
        let set = PhotoSet::open(&absolute(root)?, labels.as_deref())?;
        Ok(Some(PhotosSeen::of(&set)))
    }

    /// Rows and columns of the images of a net.
    pub(super) fn image_size(&self, net: Arch) -> anyhow::Result<usize> {
        Ok(match (self.args.images.image_size, &self.data) {
            (Some(size), _) => size,
            (None, DataArg::Named(source)) => data::info(source.name(), Path::new(""))?.height,
            (None, DataArg::Folder(_)) => net.image_size(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Verb;

    fn args(line: &str) -> ExperimentArgs {
        let cli = Cli::parsed(format!("resnet experiment {line}").split(' ')).unwrap();
        let Verb::Experiment(args) = cli.verb else { panic!("another verb") };
        *args
    }

    #[test]
    fn settings_are_those_that_change_results() {
        let given = args(
            "degradation synthetic --depths 8,14 --epochs 2 --seeds 3 --batch-size 64 --dtype fp32 \
             --validation 0.1 --limit-train 9 --data-dir x --ui log --out here",
        );
        let setup = Setup::new(&given).unwrap();
        assert_eq!(setup.folder, Path::new("here"));
        let asked = setup.experiment().unwrap();
        assert_eq!(asked.nets, ["plain8", "plain14", "resnet8", "resnet14"]);
        assert_eq!((&*asked.name, &*asked.data, asked.seeds), ("degradation", "synthetic", 3));
        let settings: Vec<(&str, &str)> =
            asked.settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let expected = [
            ("batch-size", "64"),
            ("dtype", "fp32"),
            ("epochs", "2"),
            ("limit-train", "9"),
            ("validation", "0.1"),
        ];
        assert_eq!(settings, expected);
        let usual = args("depth");
        let setup = Setup::new(&usual).unwrap();
        assert_eq!(setup.folder, Path::new("runs/experiment-depth-cifar10"));
        assert!(setup.experiment().unwrap().settings.is_empty());
    }

    #[test]
    fn a_run_has_what_was_decided() {
        let given = args("shortcuts synthetic --epochs 9");
        let setup = Setup::new(&given).unwrap();
        let run = PlannedRun { net: setup.nets[2], seed: 5 };
        let (epochs, dtype) = (Some(4), Dtype::Bf16);
        let (batch_size, lr) = (32, 0.025);
        let decided = Decided { epochs, dtype, batch_size, lr, device: None, photos: None };
        let train = setup.train_args(run, Some(&decided));
        assert_eq!((train.arch.to_string(), train.recipe.seed), ("resnet20-c".into(), 5));
        assert_eq!((train.recipe.epochs, train.recipe.batch_size), (Some(4), Some(32)));
        assert_eq!((train.recipe.optimizer.lr, &*train.recipe.recipe), (Some(0.025), RECIPE));
        let folder = "runs/experiment-shortcuts-synthetic/resnet20-c-seed5";
        assert_eq!(train.out.as_deref(), Some(Path::new(folder)));
        assert_eq!(setup.train_args(run, None).recipe.epochs, Some(9));
    }

    #[test]
    fn wrong_nets_are_refused() {
        for (line, part) in [
            ("degradation --depths 21", "plain21"),
            ("shortcuts --depths 50", "resnet50-b"),
            ("depth --depths 20,20", "resnet20 is named twice"),
            ("depth /tmp/x --nets resnet20,resnet18", "--image-size"),
        ] {
            let args = args(line);
            let error = Setup::new(&args).err().unwrap();
            assert!(error.is::<Usage>() && error.to_string().contains(part), "{error}");
        }
    }
}
