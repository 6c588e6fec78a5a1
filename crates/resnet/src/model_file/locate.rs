//! Finds the network among the tensors of a file.
//!
//! A file may have the network under a prefix, under the names of another program, and other tensors
//! next to it: a loss, metrics, counters, a second head. Here its tensors get torchvision's names, and
//! notes name what was left out.

use std::collections::{HashMap, HashSet};

use resnet_formats::{Data, NamedTensors, Tensor, brief, torch::Weights};

use super::{
    masks::join_parts,
    naming::Naming,
    rest::{Rest, features},
};
use crate::preprocess::Normalisation;

/// The network of a file.
#[derive(Debug)]
pub(super) struct Located {
    /// Its tensors, under torchvision's names.
    pub(super) tensors: NamedTensors,
    /// For each of these names, the file's.
    pub(super) names: HashMap<String, String>,
    /// Where it is; None if it was not found, and `tensors` are all of the file.
    pub(super) body: Option<Body>,
    /// Name of the head's layer in the file, or why there is none.
    pub(super) head: Result<String, String>,
    /// The normalisation that the network does itself.
    pub(super) normalisation: Option<Normalisation>,
    /// What was left out or concluded.
    pub(super) notes: Vec<String>,
}

/// Where stem and stages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// With its last dot; may be empty.
    pub(super) prefix: String,
    pub(super) naming: Naming,
}

impl Body {
    /// torchvision's name of one of its tensors.
    pub(super) fn usual_name(&self, name: &str) -> Option<String> {
        self.naming.usual_name(name.strip_prefix(&self.prefix)?)
    }

    /// Whether a part of its prefix has this name.
    fn is_called(&self, name: &str) -> bool {
        self.prefix.split('.').any(|part| part == name)
    }

    /// Whether it is the average of another network's weights, by its prefix.
    fn is_average(&self) -> bool {
        AVERAGES.iter().any(|name| self.is_called(name))
    }
}

/// Finds the network. With `weights`, that of several which has this name in its prefix.
///
/// # Errors
/// What is wrong, if there are several networks, or layers that are no part of one.
pub(super) fn locate(
    mut tensors: NamedTensors,
    weights: Option<&Weights>,
) -> Result<Located, String> {
    join_parts(&mut tensors)?;
    let bodies = bodies(&tensors);
    let mut notes = Vec::new();
    let Some(body) = choose(&bodies, weights, &mut notes)? else {
        if let Some(weights @ (Weights::Key(_) | Weights::Average)) = weights {
            return Err(format!(
                "has no weights named '{}' (--weights)",
                brief(&weights.to_string())
            ));
        }
        let names = tensors.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
        let head = Err("has no head".to_owned());
        return Ok(Located { tensors, names, body: None, head, normalisation: None, notes });
    };
    let is_in = |name: &str| body.usual_name(name).is_some();
    let (own, rest): (NamedTensors, NamedTensors) =
        tensors.into_iter().partition(|(name, _)| is_in(name));
    let (mut names, mut left_out) = (HashMap::new(), Vec::new());
    let mut tensors = NamedTensors::new();
    for (name, tensor) in own {
        if is_counter(&name) {
            left_out.push(name);
            continue;
        }
        let usual = body.usual_name(&name).unwrap_or_default();
        names.insert(usual.clone(), name);
        tensors.push((usual, tensor));
    }
    let mut rest = Rest { tensors: rest, left_out };
    let other_bodies: Vec<&Body> = bodies.iter().filter(|other| **other != body).collect();
    rest.leave_out(|name, _| is_counter(name) || is_of_loss(name, &body));
    rest.leave_out(|name, _| {
        other_bodies
            .iter()
            .any(|other| !body.prefix.starts_with(&other.prefix) && name.starts_with(&other.prefix))
    });
    let is_first = |name: &str| matches!(name, "conv1.weight" | "conv1.0.weight");
    let channels = tensors.iter().find(|(name, _)| is_first(name));
    let channels = channels.and_then(|(_, stem)| stem.shape.get(1).copied()).unwrap_or(3);
    let normalisation = rest.normalisation(channels);
    if let Some(Normalisation { mean, std, .. }) = &normalisation {
        notes.push(format!("it normalises images itself: with mean {mean:?} and std {std:?}"));
    }
    let head = rest.head(&body.prefix, &tensors);
    if let Ok(head) = &head {
        rest.take_head(head, &mut tensors, &mut names);
        rest.check_layers(&body.prefix, head, features(&tensors))?;
    }
    rest.leave_out(|_, _| true);
    counts(&mut tensors);
    if let [first, ..] = &rest.left_out[..] {
        let more = rest.left_out.len();
        let names: Vec<String> =
            rest.left_out.iter().take(3).map(|name| format!("'{}'", brief(name))).collect();
        notes.push(match more {
            1 => format!("left out '{}', which is no part of the network", brief(first)),
            2 | 3 => format!("left out {}, which are no part of the network", names.join(", ")),
            _ => format!(
                "left out {} and {} more tensors, which are no part of the network",
                names.join(", "),
                more - 3
            ),
        });
    }
    Ok(Located { tensors, names, body: Some(body), head, normalisation, notes })
}

/// All places of a stem with a first block.
fn bodies(tensors: &NamedTensors) -> Vec<Body> {
    let names: HashSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let mut found = Vec::new();
    for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.shape.len() == 4) {
        for (naming, stem, block) in Naming::ALL {
            let Some(prefix) = name.strip_suffix(stem) else { continue };
            let whole = prefix.is_empty() || prefix.ends_with('.');
            if whole && !tensor.data.is_empty() && names.contains(&*format!("{prefix}{block}")) {
                found.push(Body { prefix: prefix.to_owned(), naming });
                // The first child with blocks is the first stage.
                break;
            }
        }
    }
    found
}

/// The encoder of MoCo that is trained, and the one that is its average.
const MOCO: [&str; 2] = ["encoder_q", "encoder_k"];

/// Names of averages.
const AVERAGES: [&str; 4] = ["ema", "model_ema", "ema_model", "averaged_model"];

/// Networks that an error names.
const LISTED: usize = 8;

/// The network to take. None if there is none.
fn choose(
    bodies: &[Body],
    weights: Option<&Weights>,
    notes: &mut Vec<String>,
) -> Result<Option<Body>, String> {
    let named: Vec<&Body> = match weights {
        None | Some(Weights::Usual) => bodies.iter().collect(),
        Some(Weights::Key(key)) => bodies.iter().filter(|body| body.is_called(key)).collect(),
        Some(weights) => {
            let average = *weights == Weights::Average;
            bodies.iter().filter(|body| body.is_average() == average).collect()
        }
    };
    match &named[..] {
        [] => Ok(None),
        [body] => Ok(Some((*body).clone())),
        [first, second, ..] => {
            let name = |body: &Body| match body.prefix.trim_end_matches('.') {
                "" => "'' (no prefix)".to_owned(),
                prefix => format!("'{}'", brief(prefix)),
            };
            if named.len() == 2 && first.is_average() != second.is_average() {
                let (average, model) =
                    if first.is_average() { (first, second) } else { (second, first) };
                notes.push(format!(
                    "uses the average of its weights, {} (--weights model chooses {})",
                    name(average),
                    name(model)
                ));
                return Ok(Some((**average).clone()));
            }
            if let Some(trained) = named.iter().find(|body| body.is_called(MOCO[0]))
                && named.len() == 2
                && named.iter().any(|body| body.is_called(MOCO[1]))
            {
                notes.push(format!(
                    "uses the network '{}' (--weights {} chooses the other)",
                    brief(trained.prefix.trim_end_matches('.')),
                    MOCO[1]
                ));
                return Ok(Some((*trained).clone()));
            }
            let names: Vec<String> = named.iter().take(LISTED).map(|&body| name(body)).collect();
            let listed = match (&names[..], named.len() - names.len()) {
                ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
                (_, more) => format!("{} and {more} more", names.join(", ")),
            };
            Err(format!(
                "has {} networks: {listed}; choose one with --weights, which takes a part of its name",
                named.len()
            ))
        }
    }
}

/// Counters that tools leave in a module: thop's, and the number of averaged models.
fn is_counter(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "total_ops" | "total_params" | "n_averaged")
}

/// Whether a tensor is of a loss or a metric, which has a name of its own outside the network.
fn is_of_loss(name: &str, body: &Body) -> bool {
    let outer = name.strip_prefix(&body.prefix).unwrap_or(name);
    let first = outer.split('.').next().unwrap_or("").to_lowercase();
    ["criterion", "loss", "metric"].iter().any(|word| first.contains(word))
}

/// Takes `num_batches_tracked` as `load_state_dict` does: of one element with or without a dimension,
/// and of any type.
fn counts(tensors: &mut NamedTensors) {
    for (name, tensor) in tensors {
        if !name.ends_with(".num_batches_tracked") || tensor.shape.len() > 1 {
            continue;
        }
        let count = match &tensor.data {
            Data::I64(counts) => counts.first().copied(),
            Data::F32(counts) => counts.first().map(|&count| count as i64),
        };
        if let Some(count) = count {
            *tensor = Tensor::scalar_i64(count);
        }
    }
}
