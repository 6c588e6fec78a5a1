//! Models.

use std::path::{Path, PathBuf};

use resnet_formats::{NamedTensors, Shown, Tensor, brief, safetensors::Metadata};

use super::{
    Contents, FileFormat, LoadOptions, ModelFileError, OptimizerState,
    arch::graph_of,
    contents::NO_OPTIMIZER,
    key,
    preprocessing::{Preprocessing, wordnet_ids},
    understand::{State, Understood, understand},
};
use crate::{
    models::{Arch, Family, canonical_names},
    network::{Init, Network},
    preprocess::{CropMode, Interpolation, Normalisation, Preparation},
};

/// A network with its architecture, class names and preprocessing.
///
/// [`Model::load`] reads one from a file, [`Model::demo`] is the one that ships with the library,
/// and [`Model::new`] makes one of a network.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The architecture.
    pub arch: Arch,
    /// Class names, in label order, if known.
    pub classes: Option<Vec<String>>,
    /// Rows and columns of the input images, pixels: those of the training images, or the
    /// architecture's default if the file has none.
    pub image_size: usize,
    /// Whether the file states `image_size`.
    pub states_image_size: bool,
    /// Length of an image's shorter side before the centre crop, pixels. None: images are resized
    /// to `image_size` without a crop.
    pub resize: Option<usize>,
    /// The filter of the resize.
    pub interpolation: Interpolation,
    /// Which part of a photo is used.
    pub crop_mode: CropMode,
    /// Normalisation of the input images, if known.
    pub normalisation: Option<Normalisation>,
    /// The file that it was read from; empty for [`Model::new`].
    pub path: PathBuf,
    /// The format of that file.
    pub format: FileFormat,
    /// Epochs that it was trained for, if the file states them.
    pub epochs: Option<u64>,
    /// The optimiser's state, or why there is none.
    pub optimizer: Result<OptimizerState, String>,
    /// Whether all values in the file were finite: of NaN or infinite ones, what it predicts means nothing.
    pub is_finite: bool,
    /// Messages about what was inferred, not read from the file.
    pub notes: Vec<String>,
    /// The file's metadata about its run.
    pub(crate) run: Metadata,
}

impl Model {
    /// A model of a network, without class names and normalisation.
    pub fn new(arch: Arch, network: Network) -> Model {
        Model {
            network,
            arch,
            classes: None,
            image_size: arch.image_size(),
            states_image_size: false,
            resize: None,
            interpolation: Interpolation::default(),
            crop_mode: CropMode::default(),
            normalisation: None,
            path: PathBuf::new(),
            format: FileFormat::Safetensors,
            epochs: None,
            optimizer: Err(NO_OPTIMIZER.to_owned()),
            is_finite: true,
            notes: Vec::new(),
            run: Metadata::new(),
        }
    }

    /// The model of a file's contents.
    pub(super) fn from_contents(
        path: &Path,
        contents: Contents,
        asked: &LoadOptions,
    ) -> Result<Model, ModelFileError> {
        let Understood { state, arch, origin, mut notes, inferred } =
            understand(path, contents, asked)?;
        notes.extend(inferred);
        let State { format, mut tensors, mut metadata, epochs, mut optimizer, head } = state;
        canonical_names(&mut tensors, arch.family);
        if let Ok(optimizer) = &mut optimizer {
            optimizer.tables_mut().for_each(|table| canonical_names(table, arch.family));
        }
        head.map_err(|message| ModelFileError::Network { path: path.to_owned(), message })?;
        let graph = graph_of(path, arch, origin, &tensors)?;
        let not_finite = not_finite(path, &tensors);
        let is_finite = not_finite.is_none();
        notes.extend(not_finite);
        let is_foreign = !metadata.contains_key(key::VERSION);
        if is_foreign && !format.is_folder() {
            check_class_names(path, &mut metadata, graph.classes(), &mut notes);
        }
        let images = Preprocessing::new(path, &metadata, arch, &graph, &mut notes)?;
        let mut network = Network::new(graph, Init::PyTorch, 0);
        network.load_state_dict(&tensors).map_err(ModelFileError::state_dict(path))?;
        let mut run = metadata;
        run.retain(|key, _| key::OF_RUN.contains(&key.as_str()));
        let model = Model {
            classes: images.classes,
            image_size: images.image_size,
            states_image_size: images.states_image_size,
            resize: images.resize,
            interpolation: images.interpolation,
            crop_mode: images.crop_mode,
            normalisation: images.normalisation,
            is_finite,
            ..Model::new(arch, network)
        };
        Ok(Model { path: path.to_owned(), format, epochs, optimizer, notes, run, ..model })
    }

    /// Class names, in label order; the class numbers if names are unknown.
    pub fn class_names(&self) -> Vec<String> {
        let number = || (0..self.network.graph().classes()).map(|class| class.to_string());
        self.classes.clone().unwrap_or_else(|| number().collect())
    }

    /// The ids in WordNet of its classes, in label order, if they are those of ImageNet, whose own folders
    /// have these names (`n01440764`).
    pub fn wordnet_ids(&self) -> Option<Vec<String>> {
        wordnet_ids(self.classes.as_deref()?)
    }

    /// How a photo becomes the network's input, for images that are normalised by `normalisation`. None
    /// if the network takes neither grey nor RGB images.
    ///
    /// [`Predictor`](crate::predictor::Predictor) does that, and predicts.
    pub fn preparation(&self, normalisation: &Normalisation) -> Option<Preparation> {
        let channels = self.network.graph().in_channels();
        let Model { image_size, resize, interpolation, crop_mode, .. } = *self;
        let fill = normalisation.mean_bytes();
        let preparation =
            Preparation { image_size, resize, channels, interpolation, crop_mode, fill };
        matches!(channels, 1 | 3).then_some(preparation)
    }

    /// The usual normalisation for a model without one, and the data set that it is from
    /// (`ImageNet` or `CIFAR-10`). None for small grey images, and for others than grey and colour ones.
    pub fn usual_normalisation(&self) -> Option<(&'static str, Normalisation)> {
        match (self.arch.family, self.network.graph().in_channels()) {
            (Family::ImageNet, channels @ (1 | 3)) => {
                Some(("ImageNet", Normalisation::imagenet().for_channels(channels)))
            }
            (Family::ImageNet, _) => None,
            (_, channels) => (channels == 3).then(|| ("CIFAR-10", Normalisation::cifar10())),
        }
    }

    /// Checks that the network has the classes and channels of a data set, which is called `data`.
    ///
    /// # Errors
    /// [`ModelFileError::OtherData`] if it has not.
    pub fn check_fit(
        &self,
        data: &str,
        classes: usize,
        channels: usize,
    ) -> Result<(), ModelFileError> {
        let graph = self.network.graph();
        for (what, found, expected) in [
            ("classes", graph.classes(), classes),
            ("channels of a pixel", graph.in_channels(), channels),
        ] {
            if found != expected {
                let (path, data) = (self.path.clone(), data.to_owned());
                return Err(ModelFileError::OtherData { path, data, what, found, expected });
            }
        }
        Ok(())
    }

    /// The first class that has another name in data of as many classes: its number, and its name here. None if the
    /// names are the same but for case, hyphens and underscores, or unknown.
    pub fn other_class(&self, classes: &[&str]) -> Option<(usize, &str)> {
        let plain = |name: &str| name.to_lowercase().replace(['-', '_'], " ");
        let own = self.classes.as_deref()?.iter().map(String::as_str).zip(classes);
        let differs = |(_, (own, other)): &(usize, (&str, &&str))| plain(own) != plain(other);
        own.enumerate().find(differs).map(|(class, (own, _))| (class, own))
    }
}

/// A note about weights that are not finite numbers, such as those of a run that diverged.
fn not_finite(path: &Path, tensors: &NamedTensors) -> Option<String> {
    let is_finite = |tensor: &Tensor| {
        tensor.as_f32().is_none_or(|values| values.iter().all(|value| value.is_finite()))
    };
    let mut found = tensors.iter().filter(|(_, tensor)| !is_finite(tensor));
    let (first, _) = found.next()?;
    let more = match found.count() {
        0 => String::new(),
        1 => " and one more tensor".to_owned(),
        more => format!(" and {more} more tensors"),
    };
    Some(format!(
        "{}: NaN or infinite values in '{}'{more}: what it predicts means nothing",
        path.shown(),
        brief(first)
    ))
}

/// Leaves out the class names of another program's file if they are not as many as the classes.
fn check_class_names(
    path: &Path,
    metadata: &mut Metadata,
    classes: usize,
    notes: &mut Vec<String>,
) {
    let names = metadata.get(key::CLASSES).and_then(|text| serde_json::from_str(text).ok());
    let names: Option<Vec<String>> = names;
    if let Some(names) = names.filter(|names| names.len() != classes) {
        metadata.remove(key::CLASSES);
        notes.push(format!(
            "{}: left out its {} class names, since it has {classes} classes",
            path.shown(),
            names.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        entries.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn contents(tensors: NamedTensors, metadata: Metadata) -> Contents {
        let (format, optimizer) = (FileFormat::Safetensors, Err(String::new()));
        Contents { optimizer, ..Contents::new(format, tensors, metadata) }
    }

    fn message<T: std::fmt::Debug>(result: Result<T, ModelFileError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_model_must_fit_the_data() {
        let arch: Arch = "resnet8".parse().unwrap();
        let fit = |channels, classes| {
            let network = Network::new(arch.graph_with(channels, classes, 4), Init::PyTorch, 0);
            let model = Model { path: "m.safetensors".into(), ..Model::new(arch, network) };
            model.check_fit("synthetic", 10, 3)
        };
        assert!(fit(3, 10).is_ok());
        let error = message(fit(3, 5));
        assert!(error.starts_with("m.safetensors has 5 classes, but synthetic has 10"), "{error}");
        assert!(message(fit(1, 10)).contains("has 1 channels of a pixel, but synthetic has 3"));
    }

    #[test]
    fn classes_of_other_data_are_noticed() {
        let mut model = Model::demo();
        let mut names = model.class_names();
        names[0] = "AIRPLANE".into();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(model.other_class(&names), None);
        names[9] = "disc";
        assert_eq!(model.other_class(&names), Some((9, "truck")));
        model.classes = None;
        assert_eq!(model.other_class(&names), None);
    }

    #[test]
    fn weights_that_are_not_finite_are_noted() {
        let mut tensors = Model::demo().network.state_dict();
        assert_eq!(not_finite(Path::new("x"), &tensors), None);
        tensors[0].1 = Tensor::f32(&[2], vec![0.0, f32::NAN]);
        let noted = not_finite(Path::new("x"), &tensors).unwrap();
        assert!(noted.starts_with("x: NaN or infinite values in 'conv1.weight': "), "{noted}");
        tensors.last_mut().unwrap().1 = Tensor::f32(&[1], vec![f32::INFINITY]);
        let noted = not_finite(Path::new("x"), &tensors).unwrap();
        assert!(noted.contains(" and one more tensor: "), "{noted}");
    }

    #[test]
    fn the_usual_normalisation_of_grey_images_is_the_first_number() {
        let usual = |arch: &str, channels| {
            let arch: Arch = arch.parse().unwrap();
            let network = Network::new(arch.graph_with(channels, 10, 2), Init::PyTorch, 0);
            let (name, normalisation) = Model::new(arch, network).usual_normalisation()?;
            Some((name, normalisation.mean))
        };
        assert_eq!(usual("resnet18", 3), Some(("ImageNet", vec![0.485, 0.456, 0.406])));
        assert_eq!(usual("resnet18", 1), Some(("ImageNet", vec![0.485])));
        assert_eq!(usual("resnet8", 3), Some(("CIFAR-10", vec![0.4914, 0.4822, 0.4465])));
        assert!(["resnet8", "resnet18"].iter().all(|arch| usual(arch, 4).is_none()));
        assert_eq!(usual("resnet8", 1), None);
    }

    #[test]
    fn a_normalisation_must_be_usable() {
        let arch: Arch = "resnet8".parse().unwrap();
        let tensors = Network::new(arch.graph(10), Init::PyTorch, 0).state_dict();
        let load = |normalisation| {
            let own = [("format_version", "1"), ("arch", "resnet8")];
            let entries = metadata(&[&own[..], &[("normalisation", normalisation)]].concat());
            Model::from_contents(Path::new("x"), contents(tensors.clone(), entries), &None.into())
        };
        assert!(load(r#"{"mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}"#).is_ok());
        for wrong in [
            r#"{"mean":[0.5,0.5],"std":[0.25,0.25]}"#,
            r#"{"mean":[1e39,0.5,0.5],"std":[0.25,0.25,0.25]}"#,
            r#"{"mean":[0.5,0.5,0.5],"std":[0.25,0.0,0.25]}"#,
        ] {
            let error = message(load(wrong));
            assert!(error.contains("metadata 'normalisation'"), "{error}");
        }
    }

    /// An ImageNet net of 1000 classes and width 1.
    fn imagenet() -> NamedTensors {
        let arch: Arch = "resnet18".parse().unwrap();
        Network::new(arch.graph_with(3, 1000, 1), Init::PyTorch, 0).state_dict()
    }

    #[test]
    fn a_thousand_classes_without_names_are_imagenets() {
        let load = |tensors, entries: &[(&str, &str)]| {
            Model::from_contents(Path::new("x"), contents(tensors, metadata(entries)), &None.into())
                .unwrap()
        };
        let model = load(imagenet(), &[]);
        let ids = model.wordnet_ids().unwrap();
        let some = [0, 207, 999].map(|class| &*ids[class]);
        assert_eq!(some, ["n01440764", "n02099601", "n15075141"]);
        let classes = model.classes.unwrap();
        assert_eq!((classes.len(), classes[0].as_str()), (1000, "tench"));
        assert_eq!(
            (classes[207].as_str(), classes[999].as_str()),
            ("golden retriever", "toilet tissue")
        );
        let distinct: std::collections::HashSet<_> = classes.iter().collect();
        assert_eq!(distinct.len(), 1000);
        assert_eq!((model.image_size, model.resize), (224, Some(256)));
        assert_eq!(model.normalisation.unwrap().mean, [0.485, 0.456, 0.406]);
        assert!(model.notes.iter().any(|note| note.contains("its normalisation")));

        let own = r#"{"mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}"#;
        let model = load(imagenet(), &[("normalisation", own), ("image_size", "160")]);
        assert_eq!((model.image_size, model.resize), (160, None));
        assert_eq!(model.normalisation.unwrap().mean, [0.5; 3]);
        let named = serde_json::to_string(&vec!["x"; 1000]).unwrap();
        let model = load(imagenet(), &[("arch", "resnet18"), ("classes", &named)]);
        assert_eq!(model.wordnet_ids(), None, "other classes");
        assert_eq!((model.normalisation, model.resize, model.notes), (None, None, vec![]));
        assert_eq!(model.classes.unwrap()[3], "x");
    }

    #[test]
    fn other_programs_names_are_read_and_counts_are_optional() {
        let arch: Arch = "resnet18-cifar".parse().unwrap();
        let net = Network::new(arch.graph_with(3, 10, 2), Init::PyTorch, 0);
        let mut tensors = net.state_dict();
        tensors.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
        for (name, _) in &mut tensors {
            *name = name.replace("linear", "fc").replace("shortcut", "downsample");
        }
        let load = |arch: Option<Arch>| {
            let contents = contents(tensors.clone(), Metadata::new());
            Model::from_contents(Path::new("x"), contents, &arch.into())
        };
        let model = load(None).unwrap();
        assert_eq!(model.arch, arch);
        assert_eq!(model.network.state_dict(), net.state_dict());
        assert!(model.notes[0].starts_with("x: inferred resnet18-cifar from the names"));
        assert!(load(Some(arch)).unwrap().notes.is_empty());
        assert_eq!(model.class_names()[9], "9");

        let error = message(load("resnet34-cifar".parse().ok()));
        for part in [
            "x is not a resnet34-cifar: ",
            "missing: layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias and ",
            "names and shapes are those of a resnet18-cifar",
        ] {
            assert!(error.contains(part), "{error}");
        }
        tensors[0].1 = Tensor::f32(&[2, 3, 1, 1], vec![0.0; 6]);
        let contents = contents(tensors, Metadata::new());
        let error = message(Model::from_contents(Path::new("x"), contents, &None.into()));
        assert!(error.contains("x names no architecture, and "), "{error}");
        assert!(error.contains("its 1x1 stem and stages of 2, 2, 2, 2 basic blocks"), "{error}");
    }
}
