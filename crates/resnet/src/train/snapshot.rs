//! What a process that joins a run gets from process 0: weights, running statistics, what the optimiser keeps,
//! the average, and the progress.

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Engine, EngineError},
    metrics::{EpochMetrics, Progress, State},
    network::Network,
};

/// The numbers that are not weights.
#[derive(Serialize, Deserialize)]
struct Header {
    progress: Progress,
    history: Vec<EpochMetrics>,
    steps: Vec<u64>,
    batches_tracked: Vec<Vec<i64>>,
}

/// The engine's and the run's state as bytes, for a process of the same version.
pub(super) fn to_bytes(engine: &Engine, state: &State) -> Result<Vec<u8>, EngineError> {
    let (network, buffers) = engine.store()?;
    let networks = [Some(network), engine.average()?].into_iter().flatten();
    let header = Header {
        progress: state.progress.clone(),
        history: state.history.clone(),
        steps: buffers.steps.clone(),
        batches_tracked: networks.clone().map(|net| net.all_batches_tracked().to_vec()).collect(),
    };
    let header = serde_json::to_vec(&header).expect("numbers are written as JSON");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    let arenas = networks.flat_map(|net| [net.values(), net.running_values()]);
    for values in arenas.chain(buffers.values.iter().map(Vec::as_slice)) {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    Ok(bytes)
}

/// Loads such bytes into an engine of the same run; none if they do not fit it.
pub(super) fn load(bytes: &[u8], engine: &mut Engine) -> Option<State> {
    let (len, bytes) = bytes.split_first_chunk()?;
    let (header, mut bytes) = bytes.split_at_checked(u64::from_le_bytes(*len) as usize)?;
    let Header { progress, history, steps, batches_tracked } =
        serde_json::from_slice(header).ok()?;
    let mut fill = |values: &mut [f32]| {
        let (own, rest) = bytes.split_at_checked(size_of_val(values))?;
        bytes = rest;
        for (value, bytes) in values.iter_mut().zip(own.chunks_exact(size_of::<f32>())) {
            *value = f32::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(())
    };
    let (network, buffers) = engine.store().ok()?;
    let (network, mut buffers) = (network.clone(), buffers.clone());
    let mut networks = vec![network];
    networks.extend(engine.average().ok()?.cloned());
    let has_same =
        |net: &Network, tracked: &Vec<i64>| net.all_batches_tracked().len() == tracked.len();
    if networks.len() != batches_tracked.len()
        || !networks.iter().zip(&batches_tracked).all(|(net, tracked)| has_same(net, tracked))
        || buffers.steps.len() != steps.len()
    {
        return None;
    }
    for (net, tracked) in networks.iter_mut().zip(&batches_tracked) {
        net.running_mut().1.copy_from_slice(tracked);
        for values in net.all_values_mut() {
            fill(values)?;
        }
    }
    for values in &mut buffers.values {
        fill(values)?;
    }
    buffers.steps = steps;
    let mut networks = networks.into_iter();
    engine.load(networks.next()?, buffers);
    if let Some(average) = networks.next() {
        engine.load_average(average);
    }
    Some(State { history, progress })
}
