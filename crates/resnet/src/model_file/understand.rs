//! From what a file holds to a network's state: where it is, which architecture, what the notes say.

use std::{collections::HashMap, path::Path};

use resnet_formats::{
    NamedTensors, Shown, brief,
    safetensors::Metadata,
    torch::{Submodule, Weights},
};

use super::{
    Contents, FileFormat, LoadOptions, ModelFileError, OptimizerState,
    arch::{Origin, by_shortcuts, others_of, resolve_arch},
    key,
    locate::{Located, locate},
    metadata::{check_version, json},
    modules::stated_arch,
    preprocessing::leave_out_unreadable,
};
use crate::models::{Arch, infer_arch};

/// A file that was understood, but whose tensors were not compared with the architecture yet.
pub(super) struct Understood {
    pub(super) state: State,
    pub(super) arch: Arch,
    pub(super) origin: Origin,
    pub(super) notes: Vec<String>,
    /// A note about the architecture, if it was inferred.
    pub(super) inferred: Option<String>,
}

/// What a file holds, under the names of the family.
pub(super) struct State {
    pub(super) format: FileFormat,
    pub(super) tensors: NamedTensors,
    pub(super) metadata: Metadata,
    pub(super) epochs: Option<u64>,
    pub(super) optimizer: Result<OptimizerState, String>,
    /// Why there is no head, if there is none.
    pub(super) head: Result<(), String>,
}

/// Finds the network in a file's contents, and its architecture.
pub(super) fn understand(
    path: &Path,
    contents: Contents,
    asked: &LoadOptions,
) -> Result<Understood, ModelFileError> {
    let Contents {
        format,
        tensors,
        mut metadata,
        epochs,
        mut optimizer,
        mut notes,
        key,
        modules,
        average: _,
    } = contents;
    check_version(path, &metadata)?;
    let wrong = |message| ModelFileError::Network { path: path.to_owned(), message };
    let is_own = metadata.contains_key(key::VERSION) || format == FileFormat::Onnx;
    let weights = not_yet_chosen(&asked.weights, key.as_deref());
    let mut head = Ok(());
    let mut stated = None;
    let mut found = tensors;
    if !is_own || matches!(weights, Some(Weights::Average | Weights::Key(_))) {
        let is_of_others = !is_own && !format.is_folder();
        if is_of_others {
            notes.extend(leave_out_unreadable(&mut metadata));
        }
        let located = locate(found, weights).map_err(wrong)?;
        optimizer = optimizer.and_then(|optimizer| renamed(optimizer, &located));
        if let Some(normalisation) = &located.normalisation {
            metadata.entry(key::NORMALISATION.to_owned()).or_insert_with(|| json(normalisation));
        }
        if is_of_others {
            named_by_others(&mut metadata, &located.tensors);
        }
        if !modules.is_empty() {
            stated = Some(of_modules(path, &modules, &located, asked.arch)?);
        }
        if located.body.is_some() {
            head = located.head.map(drop);
        }
        notes.extend(located.notes);
        found = located.tensors;
    }
    let (mut arch, origin) = resolve_arch(path, &metadata, &found, asked.arch)?;
    let notes: Vec<String> =
        notes.into_iter().map(|note| format!("{}: {note}", path.shown())).collect();
    if let Some(mut stated) = stated {
        // Modules do not show shortcuts without layers.
        stated.residual = arch.residual;
        if asked.arch.is_some_and(|asked| asked != stated) {
            return Err(ModelFileError::OtherArch {
                path: path.to_owned(),
                found: stated.to_string(),
                expected: arch.to_string(),
            });
        }
        arch = stated;
    }
    let inferred = match origin {
        Origin::Inferred { alternative } => Some(inferred_note(path, arch, alternative, stated)),
        Origin::File | Origin::Asked => None,
    };
    let state = State { format, tensors: found, metadata, epochs, optimizer, head };
    Ok(Understood { state, arch, origin, notes, inferred })
}

/// What an inferred architecture was inferred from, and what else it may be.
fn inferred_note(
    path: &Path,
    arch: Arch,
    alternative: Option<Arch>,
    stated: Option<Arch>,
) -> String {
    let (from, others) = match stated {
        Some(_) => ("its modules", alternative.map(by_shortcuts)),
        None => ("the names and shapes of its tensors", others_of(arch, alternative)),
    };
    let others = others
        .map(|others| format!("; --arch chooses another with the same tensors: {others}"))
        .unwrap_or_default();
    format!("{}: inferred {arch} from {from}{others}", path.shown())
}

/// The user's choice of weights, unless it was made by the key of a dict.
fn not_yet_chosen<'w>(weights: &'w Weights, key: Option<&str>) -> Option<&'w Weights> {
    let chosen = match weights {
        Weights::Usual => true,
        Weights::Model => key.is_some_and(|key| !Weights::is_average(key)),
        Weights::Average => key.is_some_and(Weights::is_average),
        Weights::Key(asked) => key == Some(asked),
    };
    (!chosen).then_some(weights)
}

/// The optimiser with the names of the located network.
fn renamed(mut optimizer: OptimizerState, located: &Located) -> Result<OptimizerState, String> {
    let usual: HashMap<&str, &str> =
        located.names.iter().map(|(usual, name)| (name.as_str(), usual.as_str())).collect();
    for (name, _) in optimizer.tables_mut().flatten() {
        let Some(usual) = usual.get(name.as_str()) else {
            let name = brief(name);
            return Err(format!("its optimizer has a state for '{name}', which was left out"));
        };
        *name = (*usual).to_owned();
    }
    Ok(optimizer)
}

/// Other programs have other names for architectures. One is used only to choose between those with
/// the same tensors.
fn named_by_others(metadata: &mut Metadata, tensors: &NamedTensors) {
    if let Some(name) = metadata.get(key::ARCH) {
        // Tensors do not show options.
        let named = name.parse().ok().map(Arch::usual);
        let fits = infer_arch(tensors).is_ok_and(|found| {
            let found = [Some(found.arch), found.alternative];
            named.is_some() && found.iter().any(|found| found.map(Arch::usual) == named)
        });
        if !fits {
            metadata.remove(key::ARCH);
        }
    }
}

/// The architecture that a pickled network's modules state.
fn of_modules(
    path: &Path,
    modules: &[Submodule],
    located: &Located,
    asked: Option<Arch>,
) -> Result<Arch, ModelFileError> {
    let (arch, _) = resolve_arch(path, &Metadata::new(), &located.tensors, asked)?;
    stated_arch(arch, asked, modules, located)
        .map_err(|message| ModelFileError::Network { path: path.to_owned(), message })
}
