//! Finds the network among the tensors of a file.
//!
//! A file may have the network under a prefix, under the names of another program, and other tensors
//! next to it: a loss, metrics, counters, a second head. Here its tensors get torchvision's names, and
//! notes name what was left out.

use std::collections::{HashMap, HashSet};

use resnet_formats::{Data, NamedTensors, Tensor, brief, torch::Weights};

use super::{masks::join_parts, naming::Naming};
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
    if let Some(Normalisation { mean, std }) = &normalisation {
        notes.push(format!("it normalises images itself: with mean {mean:?} and std {std:?}"));
    }
    let head = rest.head(&body, &tensors);
    if let Ok(head) = &head {
        rest.take_head(head, &mut tensors, &mut names);
        rest.check_layers(&body, head, features(&tensors))?;
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
            let example = second.prefix.trim_end_matches('.').rsplit('.').next().unwrap_or("");
            Err(format!(
                "has {} networks, such as {} and {}: choose one with --weights, such as --weights {}",
                named.len(),
                name(first),
                name(second),
                brief(example)
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

/// The tensors that are not of stem and stages.
struct Rest {
    tensors: NamedTensors,
    left_out: Vec<String>,
}

/// A module with linear layers.
#[derive(Debug, Default)]
struct Group {
    /// Linear layers in it, with their inputs.
    linear: Vec<(String, usize)>,
    /// The number of its other tensors.
    others: usize,
}

/// Names of heads, best first, after the family's own.
const HEADS: [&str; 7] = ["fc", "linear", "classifier", "head", "head.fc", "last_linear", "output"];

impl Rest {
    fn leave_out(&mut self, is: impl Fn(&str, &Tensor) -> bool) {
        self.tensors.retain(|(name, tensor)| {
            let out = is(name, tensor);
            if out {
                self.left_out.push(name.clone());
            }
            !out
        });
    }

    /// Takes the mean and standard deviation of a layer that normalises images: one for all channels, or
    /// one each.
    fn normalisation(&mut self, channels: usize) -> Option<Normalisation> {
        let short: HashMap<&str, &[f32]> = self
            .tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.as_str(), tensor.as_f32()?)))
            .filter(|(_, values)| values.len() == 1 || values.len() == channels)
            .collect();
        let (mean_name, std_name) = self.tensors.iter().find_map(|(name, _)| {
            let base = name.strip_suffix("mean")?;
            let std = format!("{base}std");
            let is_whole = base.is_empty() || base.ends_with(['.', '_']);
            let found = short.contains_key(name.as_str()) && short.contains_key(std.as_str());
            (is_whole && found).then(|| (name.clone(), std))
        })?;
        let each = |name: &String| match short[name.as_str()] {
            [value] => vec![*value; channels],
            values => values.to_vec(),
        };
        let (mut mean, mut std) = (each(&mean_name), each(&std_name));
        // Of pixels from 0 to 255.
        if std.iter().all(|&std| std > 8.0) {
            mean.iter_mut().chain(&mut std).for_each(|value| *value /= 255.0);
        }
        self.tensors.retain(|(name, _)| *name != mean_name && *name != std_name);
        Some(Normalisation { mean, std })
    }

    /// The modules with linear layers, by name.
    fn groups(&self) -> Vec<(String, Group)> {
        let mut order: Vec<String> = Vec::new();
        let mut groups: HashMap<&str, Group> = HashMap::new();
        for (name, tensor) in &self.tensors {
            let Some(layer) = name.strip_suffix(".weight") else { continue };
            if let [_, inputs] = tensor.shape[..]
                && !tensor.data.is_empty()
            {
                let group = group_of(layer);
                let linear = &mut groups.entry(group).or_insert_with(|| {
                    order.push(group.to_owned());
                    Group::default()
                });
                linear.linear.push((layer.to_owned(), inputs));
            }
        }
        for (name, _) in &self.tensors {
            let Some((layer, last)) = name.rsplit_once('.') else { continue };
            if let Some(group) = groups.get_mut(group_of(layer)) {
                let of_linear = group.linear.iter().take(8).any(|(linear, _)| linear == layer);
                group.others += usize::from(!of_linear || !matches!(last, "weight" | "bias"));
            }
        }
        let found = order.into_iter().map(|name| {
            let group = groups.remove(name.as_str()).unwrap_or_default();
            (name, group)
        });
        found.collect()
    }

    /// The layer that is the head, or why there is none.
    fn head(&self, body: &Body, own: &NamedTensors) -> Result<String, String> {
        let features = features(own);
        let of = |what: &str| own.iter().find(|(name, _)| name == what);
        let is_large = of("conv1.weight").is_some_and(|(_, stem)| stem.shape.get(2) == Some(&7));
        let is_large = is_large || of("conv1.0.weight").is_some();
        let family = if is_large { "fc" } else { "linear" };
        let mut heads: Vec<(usize, String, Group)> = Vec::new();
        for (name, group) in self.groups() {
            let local = name.strip_prefix(&body.prefix).unwrap_or(&name);
            let known = HEADS.iter().position(|head| *head == local);
            let rank = match known {
                _ if local == family => 0,
                Some(0 | 1) => 1,
                Some(_) => 2,
                None => 3,
            };
            let fits = group.linear.iter().any(|&(_, inputs)| Some(inputs) == features);
            if fits || rank < 2 {
                heads.push((rank, name, group));
            }
        }
        heads.sort_by_key(|(rank, ..)| *rank);
        let Some(&(best, ..)) = heads.first() else {
            let features = features.map_or(String::new(), |n| format!(" of {n} inputs"));
            return Err(format!(
                "has no head, a linear layer{features}: `train --init` can use it, which draws one"
            ));
        };
        heads.retain(|(rank, ..)| *rank == best);
        match &heads[..] {
            [(_, _, Group { linear, others: 0 })] if linear.len() == 1 => Ok(linear[0].0.clone()),
            [(_, name, group)] => {
                let layers =
                    group.linear.iter().take(3).map(|(layer, _)| format!("'{}'", brief(layer)));
                Err(format!(
                    "has a head '{}' of more than one linear layer ({}{}): `train --init` can use the \
                     rest, and draws a head",
                    brief(name),
                    layers.collect::<Vec<_>>().join(", "),
                    if group.others > 0 { " and others" } else { "" }
                ))
            }
            [(_, first, _), (_, second, _), ..] => Err(format!(
                "has {} heads, such as '{}' and '{}': save it with one of them, named '{family}'",
                heads.len(),
                brief(first),
                brief(second)
            )),
            [] => unreachable!("the best one is kept"),
        }
    }

    /// Moves the head to the network's tensors. A head without a bias has one of zeros.
    fn take_head(
        &mut self,
        head: &str,
        tensors: &mut NamedTensors,
        names: &mut HashMap<String, String>,
    ) {
        let mut classes = 0;
        let mut has_bias = false;
        for (name, tensor) in std::mem::take(&mut self.tensors) {
            match name.strip_prefix(head).and_then(|rest| rest.strip_prefix('.')) {
                Some(last @ ("weight" | "bias")) => {
                    classes = tensor.shape.first().copied().unwrap_or(0).max(classes);
                    has_bias |= last == "bias";
                    let usual = format!("fc.{last}");
                    names.insert(usual.clone(), name.clone());
                    tensors.push((usual, tensor));
                }
                _ => self.tensors.push((name, tensor)),
            }
        }
        if !has_bias {
            tensors.push(("fc.bias".into(), Tensor::f32(&[classes], vec![0.0; classes])));
        }
    }

    /// Refuses layers next to stem, stages and head that are neither another head nor the layers of one,
    /// and linear layers that may stand before the head: they would change the result.
    fn check_layers(&self, body: &Body, head: &str, features: Option<usize>) -> Result<(), String> {
        let common = body.prefix.bytes().zip(head.bytes()).take_while(|(a, b)| a == b).count();
        let scope = body.prefix[..common].rfind('.').map_or("", |dot| &body.prefix[..=dot]);
        let linear: HashSet<String> = self.groups().into_iter().map(|(name, _)| name).collect();
        let is_layer = |name: &str, tensor: &Tensor| {
            let Some((layer, last)) = name.rsplit_once('.') else { return false };
            let weight = last == "weight" && tensor.shape.len() > 1;
            if linear.contains(group_of(layer)) {
                weight && tensor.shape.first().copied() == features
            } else {
                weight || last == "running_mean"
            }
        };
        let layers: Vec<String> = self
            .tensors
            .iter()
            .filter(|(name, tensor)| name.starts_with(scope) && is_layer(name, tensor))
            .map(|(name, _)| format!("'{}'", brief(name)))
            .collect();
        if layers.is_empty() {
            return Ok(());
        }
        Err(format!(
            "has layers that no network of the family has: {}{}",
            layers[..layers.len().min(3)].join(", "),
            if layers.len() > 3 {
                format!(" and {} more", layers.len() - 3)
            } else {
                String::new()
            }
        ))
    }
}

/// A layer's module without the numbers in an `nn.Sequential`: `fc` of `fc.1`.
fn group_of(layer: &str) -> &str {
    let mut group = layer;
    while let Some((outer, last)) = group.rsplit_once('.')
        && last.bytes().all(|b| b.is_ascii_digit())
    {
        group = outer;
    }
    group
}

/// Channels behind the last stage.
fn features(tensors: &NamedTensors) -> Option<usize> {
    // Pre-activation ends in a batch norm of its own.
    if let Some((_, norm)) = tensors.iter().find(|(name, _)| name == "bn.weight") {
        return norm.shape.first().copied();
    }
    let of_norm = |(name, tensor): &(String, Tensor)| {
        let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
        let norm = rest.strip_prefix("0.bn")?.strip_suffix(".weight")?;
        Some((stage.parse::<usize>().ok()?, norm.parse::<usize>().ok()?, *tensor.shape.first()?))
    };
    tensors.iter().filter_map(of_norm).max().map(|(_, _, channels)| channels)
}
