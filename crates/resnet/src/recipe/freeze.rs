//! Layers that do not train for a part of the run.

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Op};

/// Layers that are frozen for a part of the run, or all of it. No gradient is computed that only they
/// need, which saves its time; nothing updates them.
///
/// Those that stop training before the end (FreezeOut, Brock et al. 2017, arXiv 1706.04983) cool down
/// first: their rate falls linearly to zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Names of modules, as in a state dict: `layer1` has all layers that start with `layer1.`.
    pub layers: Vec<String>,
    /// Fraction of all steps from which their rate falls.
    #[serde(default)]
    pub cool_down: f64,
    /// Fraction of all steps from which they are frozen.
    #[serde(default)]
    pub from: f64,
    /// Fraction of all steps from which they train again; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// Whether their batch norms use the running statistics while they are frozen, and do not move them
    /// (`.eval()` in PyTorch). Otherwise they see every batch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eval: bool,
}

impl Freeze {
    /// Layers that are frozen from the start, with their batch norms in evaluation: for fine-tuning.
    pub fn layers(layers: Vec<String>) -> Freeze {
        Freeze { layers, cool_down: 0.0, from: 0.0, until: None, eval: true }
    }

    /// The same of all layers of a network but its head.
    pub fn backbone(graph: &Graph) -> Freeze {
        let nodes = graph.nodes().iter();
        let backbone = nodes.filter(|node| node.has_parameters() && node.op != Op::Linear);
        Freeze::layers(top_modules(&backbone.map(|node| &*node.name).collect::<Vec<_>>()))
    }

    /// Whether they are frozen from the first step to the last.
    pub fn is_whole(&self) -> bool {
        self.from == 0.0 && self.until.is_none_or(|until| until >= 1.0)
    }

    /// Whether a run of so many steps leaves a step at its end in which they are not frozen.
    pub(crate) fn leaves_a_step(&self, steps: u64) -> bool {
        steps > 0 && !self.is_frozen((steps - 1) as f64 / steps as f64)
    }

    /// Whether they are frozen after this part of the run.
    fn is_frozen(&self, done: f64) -> bool {
        done >= self.from && self.until.is_none_or(|until| done < until)
    }

    /// The factor on its layers' rate after this part of the run.
    fn factor(&self, done: f64) -> f64 {
        if self.is_frozen(done) {
            0.0
        } else if done <= self.cool_down || done >= self.from {
            1.0
        } else {
            (self.from - done) / (self.from - self.cool_down)
        }
    }
}

/// Whether a node is the module of this name, or in it.
fn is_in(node: &str, module: &str) -> bool {
    node.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The modules of the network that nodes are in, in their order.
fn top_modules(nodes: &[&str]) -> Vec<String> {
    let mut modules: Vec<String> =
        nodes.iter().map(|node| node.split('.').next().unwrap_or(node).to_owned()).collect();
    modules.dedup();
    modules
}

/// Whether all these nodes are frozen from the first step to the last, and their batch norms leave the running
/// statistics alone.
pub(super) fn is_for_good<'n>(all: &[Freeze], nodes: impl IntoIterator<Item = &'n str>) -> bool {
    let is_constant = |freeze: &Freeze| freeze.from == 0.0 && freeze.until.is_none() && freeze.eval;
    nodes.into_iter().all(|node| entry(all, node).is_some_and(is_constant))
}

/// Whether a node is frozen in every step.
pub(super) fn never_trains(all: &[Freeze], node: &str) -> bool {
    entry(all, node).is_some_and(Freeze::is_whole)
}

/// The first entry that has a node.
fn entry<'f>(all: &'f [Freeze], node: &str) -> Option<&'f Freeze> {
    all.iter().find(|freeze| freeze.layers.iter().any(|layer| is_in(node, layer)))
}

/// Steps of a run, whose length may have been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSteps {
    /// As planned at its first step. What is frozen from the start trains again after a fraction of these, so
    /// that a longer run does not freeze it a second time.
    pub first: u64,
    /// As planned now.
    pub now: u64,
}

/// Of a run that keeps its length.
impl From<u64> for RunSteps {
    fn from(steps: u64) -> Self {
        RunSteps { first: steps, now: steps }
    }
}

impl Freeze {
    /// How much of a run is done before a step, which counts from 0.
    fn done(&self, step: u64, steps: RunSteps) -> f64 {
        let is_start = self.from == 0.0 && self.until.is_some_and(|until| until < 1.0);
        let total = if is_start { steps.first } else { steps.now };
        if is_start && total == 1 {
            // The only step of a run is for all layers.
            return 1.0;
        }
        step as f64 / total.max(1) as f64
    }
}

/// The factor on the rate of a node's parameters at a step: that of the first entry that has it.
pub(super) fn factor(all: &[Freeze], node: &str, step: u64, steps: impl Into<RunSteps>) -> f64 {
    let steps = steps.into();
    entry(all, node).map_or(1.0, |freeze| freeze.factor(freeze.done(step, steps)))
}

/// Whether a batch norm uses its running statistics at a step.
pub(super) fn is_in_eval(
    all: &[Freeze],
    node: &str,
    step: u64,
    steps: impl Into<RunSteps>,
) -> bool {
    let steps = steps.into();
    let is_frozen = |freeze: &Freeze| freeze.is_frozen(freeze.done(step, steps));
    entry(all, node).is_some_and(|freeze| freeze.eval && is_frozen(freeze))
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
        let Freeze { cool_down, from, until, .. } = *freeze;
        let in_order = 0.0 <= cool_down && cool_down <= from && from <= 1.0;
        if !(in_order && until.is_none_or(|until| from < until && until <= 1.0)) {
            return Err(
                "freeze.cool_down, freeze.from and freeze.until must be fractions of the run, in \
                        this order"
                    .into(),
            );
        }
        for layer in &freeze.layers {
            if !nodes.iter().any(|node| is_in(node, layer)) {
                let layer = resnet_formats::brief(layer);
                return Err(format!(
                    "the architecture has no layer '{layer}', but {} (--freeze, freeze.layers)",
                    top_modules(nodes).join(", ")
                ));
            }
        }
    }
    let is_frozen = |node: &&str| entry(all, node).is_some_and(|freeze| freeze.is_frozen(0.0));
    if !nodes.is_empty() && nodes.iter().all(is_frozen) {
        return Err("freeze leaves no layer to train at the start of the run (--freeze; --freeze-epochs 0 trains \
                    all other layers from there on)"
            .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(layers: &[&str], cool_down: f64, from: f64) -> Freeze {
        let layers = layers.iter().map(|&layer| layer.into()).collect();
        Freeze { layers, cool_down, from, until: None, eval: false }
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
    fn layers_can_train_late() {
        let graph = "resnet8".parse::<crate::Arch>().unwrap().graph(10);
        let backbone = Freeze::backbone(&graph);
        assert_eq!(backbone.layers, ["conv1", "bn1", "layer1", "layer2", "layer3"]);
        assert!(backbone.eval && backbone.until.is_none());
        let all = [Freeze { until: Some(0.3), ..backbone }];
        for (node, step, trains) in [
            ("conv1", 0, false),
            ("layer3.0.bn2", 29, false),
            ("layer3.0.bn2", 30, true),
            ("layer3.0.bn2", 99, true),
            ("linear", 0, true),
        ] {
            assert_eq!(factor(&all, node, step, 100), f64::from(u8::from(trains)), "{node} {step}");
            assert_eq!(is_in_eval(&all, node, step, 100), !trains, "{node} {step}");
        }
        // One step is for all layers, and a run that was made longer stays so.
        let half = [Freeze { until: Some(0.5), ..all[0].clone() }];
        let first = |steps: RunSteps| factor(&half, "conv1", 0, steps);
        assert_eq!([1u64, 2].map(|steps| first(steps.into())), [1.0, 0.0]);
        assert_eq!([1u64, 2].map(|steps| is_in_eval(&half, "conv1", 0, steps)), [false, true]);
        assert_eq!(first(RunSteps { first: 1, now: 10 }), 1.0);
        // More steps are as planned, even if none is left.
        let most = [Freeze { until: Some(0.99), ..all[0].clone() }];
        assert_eq!([0, 49].map(|step| factor(&most, "conv1", step, 50)), [0.0, 0.0]);
        // A run that is made longer does not freeze them again; one that stops layers late does so later.
        let longer = RunSteps { first: 100, now: 1000 };
        let at = |step| factor(&all, "conv1", step, longer);
        assert_eq!((at(29), at(30), at(299)), (0.0, 1.0, 1.0));
        let late = [freeze(&["conv1"], 0.5, 0.5)];
        assert_eq!([499, 500].map(|step| factor(&late, "conv1", step, longer)), [1.0, 0.0]);
        // An epoch begins where it does, whatever their number.
        for epochs in 1..60 {
            for until in 1..epochs {
                let all = [Freeze { until: Some(until as f64 / epochs as f64), ..all[0].clone() }];
                let at = |step| factor(&all, "conv1", step, epochs * 391);
                assert_eq!((at(until * 391 - 1), at(until * 391)), (0.0, 1.0), "{until} {epochs}");
            }
        }
    }

    #[test]
    fn layers_are_frozen_for_the_whole_run_or_a_part() {
        let of = |from, until| Freeze { until, ..freeze(&["conv1"], 0.0, from) }.is_whole();
        assert!(of(0.0, None) && of(0.0, Some(1.0)));
        assert!(!of(0.0, Some(0.5)) && !of(0.5, None) && !of(0.5, Some(1.0)));
    }

    #[test]
    fn a_backbone_is_frozen_for_good_if_all_of_it_is() {
        let nodes = ["conv1", "bn1", "layer1.conv1"];
        let is_for_good = |all: &[Freeze]| is_for_good(all, nodes);
        let of = |layers: &[&str]| Freeze { eval: true, ..freeze(layers, 0.0, 0.0) };
        let whole = of(&["conv1", "bn1", "layer1"]);
        assert!(is_for_good(std::slice::from_ref(&whole)));
        assert!(is_for_good(&[of(&["layer1"]), of(&["conv1", "bn1"])]));
        for other in [
            of(&["conv1", "layer1"]),
            Freeze { eval: false, ..whole.clone() },
            Freeze { until: Some(1.0), ..whole.clone() },
            Freeze { from: 0.5, ..whole.clone() },
        ] {
            assert!(!is_for_good(&[other]));
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
            (Freeze { until: Some(0.5), ..freeze(&["layer1"], 0.5, 0.5) }, "until"),
            (Freeze { until: Some(1.1), ..freeze(&["layer1"], 0.5, 0.5) }, "until"),
            (freeze(&["layer"], 0.1, 0.5), "no layer 'layer', but conv1, layer1, linear"),
            (freeze(&["conv1", "layer1", "linear"], 0.0, 0.0), "no layer to train"),
        ] {
            let message = check(&[entry], &nodes).unwrap_err();
            assert!(message.contains(complaint), "{message}");
        }
        assert!(check(&vec![freeze(&["conv1"], 0.0, 0.5); 101], &nodes).is_err());
    }
}
