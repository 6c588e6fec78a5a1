//! Layers that stop training before the end.

use serde::{Deserialize, Serialize};

/// Layers that are frozen from a part of the run on (FreezeOut, Brock et al. 2017, arXiv 1706.04983).
/// Their rate falls linearly to zero before. Then the backward pass ends behind them, which saves its
/// time; their batch norms still see every batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Names of modules, as in a state dict: `layer1` has all layers that start with `layer1.`.
    pub layers: Vec<String>,
    /// Fraction of all steps from which their rate falls.
    pub cool_down: f64,
    /// Fraction of all steps from which they are frozen.
    pub from: f64,
}

impl Freeze {
    /// Whether a node is in its layers.
    fn has(&self, node: &str) -> bool {
        self.layers.iter().any(|layer| {
            node.strip_prefix(layer.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The factor on its layers' rate at a step, which counts from 0, of `total_steps`.
    fn factor(&self, step: u64, total_steps: u64) -> f64 {
        let done = step as f64 / total_steps.max(1) as f64;
        let fall = self.from - self.cool_down;
        if done >= self.from {
            0.0
        } else if done <= self.cool_down {
            1.0
        } else {
            (self.from - done) / fall
        }
    }
}

/// The factor on the rate of a node's parameters at a step: that of the first entry that has it.
pub(super) fn factor(all: &[Freeze], node: &str, step: u64, total_steps: u64) -> f64 {
    let entry = all.iter().find(|freeze| freeze.has(node));
    entry.map_or(1.0, |freeze| freeze.factor(step, total_steps))
}

/// A limit, since every step reads all of them.
const MOST: usize = 100;

/// Checks fractions and names. `nodes` are the names of an architecture's nodes with parameters.
///
/// # Errors
/// A message that names what is wrong.
pub(super) fn check(all: &[Freeze], nodes: &[&str]) -> Result<(), String> {
    if all.len() > MOST || all.iter().any(|freeze| freeze.layers.len() > MOST) {
        return Err(format!("freeze has more than {MOST} entries or layers"));
    }
    for freeze in all {
        let in_order = 0.0 <= freeze.cool_down && freeze.cool_down <= freeze.from;
        if !(in_order && freeze.from <= 1.0) {
            return Err(
                "freeze.cool_down and freeze.from must be fractions of the run, in this order"
                    .into(),
            );
        }
        for layer in &freeze.layers {
            let one = Freeze { layers: vec![layer.clone()], ..freeze.clone() };
            if !nodes.iter().any(|node| one.has(node)) {
                let layer = resnet_formats::brief(layer);
                return Err(format!("freeze.layers: the architecture has no layer '{layer}'"));
            }
        }
    }
    if !nodes.is_empty()
        && nodes.iter().all(|node| all.iter().any(|freeze| freeze.from == 0.0 && freeze.has(node)))
    {
        return Err("freeze leaves no layer to train".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(layers: &[&str], cool_down: f64, from: f64) -> Freeze {
        Freeze { layers: layers.iter().map(|&layer| layer.into()).collect(), cool_down, from }
    }

    #[test]
    fn rates_fall_to_zero_and_stay_there() {
        let all = [freeze(&["conv1", "layer1"], 0.6, 0.8), freeze(&["layer2.0"], 0.5, 0.5)];
        let at = |node: &str, step| factor(&all, node, step, 100);
        for node in ["conv1", "layer1.0.conv2", "layer1.0.bn1"] {
            let factors: Vec<f64> = (0..=100).map(|step| at(node, step)).collect();
            assert!(
                factors[..=60].iter().all(|&f| f == 1.0) && factors[80..].iter().all(|&f| f == 0.0)
            );
            assert!((factors[70] - 0.5).abs() < 1e-12 && factors.is_sorted_by(|a, b| a >= b));
        }
        assert_eq!((at("layer2.0.conv1", 49), at("layer2.0.conv1", 50)), (1.0, 0.0));
        for other in ["layer2.1.conv1", "layer10.conv1", "conv10", "linear"] {
            assert_eq!(at(other, 100), 1.0, "{other}");
        }
    }

    #[test]
    fn impossible_entries_are_refused() {
        let nodes = ["conv1", "layer1.conv1", "linear"];
        check(&[freeze(&["layer1", "conv1"], 0.0, 0.0)], &nodes).unwrap();
        for (entry, complaint) in [
            (freeze(&["layer1"], 0.5, 0.4), "cool_down"),
            (freeze(&["layer1"], -0.1, 0.4), "cool_down"),
            (freeze(&["layer1"], 0.1, 1.1), "from"),
            (freeze(&["layer1"], f64::NAN, 0.5), "cool_down"),
            (freeze(&["layer"], 0.1, 0.5), "no layer 'layer'"),
            (freeze(&["conv1", "layer1", "linear"], 0.0, 0.0), "no layer to train"),
        ] {
            let message = check(&[entry], &nodes).unwrap_err();
            assert!(message.contains(complaint), "{message}");
        }
        assert!(check(&vec![freeze(&["conv1"], 0.0, 0.5); 101], &nodes).is_err());
    }
}
