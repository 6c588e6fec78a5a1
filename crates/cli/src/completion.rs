//! What a shell may complete an argument to. The shell's script calls the program for it.

use std::ffi::OsStr;

use clap_complete::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate,
    engine::{PathCompleter, ValueCompleter},
};
use resnet::{
    Arch,
    data::DataSource,
    model_file::{DEMO, PublishedWeights},
};

use crate::runs;

/// The variable by which a script asks for completions.
pub(crate) const VARIABLE: &str = "RESNET_COMPLETE";

/// Names of architectures.
pub(crate) fn archs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| Arch::all().map(|arch| arch.to_string().into()).collect())
}

/// Names of data sets.
pub(crate) fn data() -> ArgValueCandidates {
    ArgValueCandidates::new(|| DataSource::ALL.map(|source| source.name().into()).into())
}

/// Words for devices.
pub(crate) fn devices() -> ArgValueCandidates {
    ArgValueCandidates::new(|| ["auto", "cpu", "gpu", "gpu:0"].map(Into::into).into())
}

/// Names of data sets, and folders.
pub(crate) fn data_or_folder() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let names = DataSource::ALL.map(|source| source.name().into());
        let mut candidates = matching(current, names);
        candidates.extend(PathCompleter::dir().complete(current));
        candidates
    })
}

/// Trained networks: words, runs and files.
pub(crate) fn models() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| with_paths(current, &[DEMO]))
}

/// What a run may start from: trained networks, and names of published weights.
pub(crate) fn initial_weights() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut candidates = with_paths(current, &[DEMO, runs::NONE]);
        let names = PublishedWeights::ALL.iter().map(|weights| weights.name.into());
        candidates.extend(matching(current, names));
        candidates
    })
}

/// Architectures and trained networks.
pub(crate) fn archs_and_models() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut candidates = with_paths(current, &[DEMO]);
        candidates.extend(matching(current, Arch::all().map(|arch| arch.to_string().into())));
        candidates
    })
}

/// Runs and files.
pub(crate) fn runs() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| with_paths(current, &[]))
}

/// These words, runs with the word for the newest one, and paths.
fn with_paths(current: &OsStr, words: &[&str]) -> Vec<CompletionCandidate> {
    let runs = runs::all();
    let last = runs.first().map(|_| runs::LAST);
    let words = words.iter().copied().chain(last).map(CompletionCandidate::from);
    let named = runs.iter().map(|run| run.as_os_str().to_owned().into());
    let mut candidates = matching(current, words.chain(named));
    let paths = PathCompleter::any().complete(current).into_iter();
    // A run is there once, without the slash of a folder.
    candidates.extend(paths.filter(|path| !runs.iter().any(|run| run == path.get_value())));
    candidates
}

fn matching(
    current: &OsStr,
    candidates: impl IntoIterator<Item = CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let current = current.as_encoded_bytes();
    let starts = |candidate: &CompletionCandidate| {
        candidate.get_value().as_encoded_bytes().starts_with(current)
    };
    candidates.into_iter().filter(starts).collect()
}
