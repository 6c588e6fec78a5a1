//! The tensors of a file that are not of stem and stages: the head, a layer that normalises, and what is
//! left out.

use std::collections::{HashMap, HashSet};

use resnet_formats::{NamedTensors, Tensor, brief};

use crate::preprocess::Normalisation;

/// The tensors that are not of stem and stages.
pub(super) struct Rest {
    pub(super) tensors: NamedTensors,
    pub(super) left_out: Vec<String>,
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
    pub(super) fn leave_out(&mut self, is: impl Fn(&str, &Tensor) -> bool) {
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
    pub(super) fn normalisation(&mut self, channels: usize) -> Option<Normalisation> {
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
        Some(Normalisation::new(mean, std))
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
    pub(super) fn head(&self, prefix: &str, own: &NamedTensors) -> Result<String, String> {
        let features = features(own);
        let of = |what: &str| own.iter().find(|(name, _)| name == what);
        let is_large = of("conv1.weight").is_some_and(|(_, stem)| stem.shape.get(2) == Some(&7));
        let is_large = is_large || of("conv1.0.weight").is_some();
        let family = if is_large { "fc" } else { "linear" };
        let mut heads: Vec<(usize, String, Group)> = Vec::new();
        for (name, group) in self.groups() {
            let local = name.strip_prefix(prefix).unwrap_or(&name);
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
    pub(super) fn take_head(
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
    pub(super) fn check_layers(
        &self,
        prefix: &str,
        head: &str,
        features: Option<usize>,
    ) -> Result<(), String> {
        let common = prefix.bytes().zip(head.bytes()).take_while(|(a, b)| a == b).count();
        let scope = prefix[..common].rfind('.').map_or("", |dot| &prefix[..=dot]);
        let linear: HashSet<String> = self.groups().into_iter().map(|(name, _)| name).collect();
        let is_layer = |name: &str, tensor: &Tensor| {
            let Some((layer, last)) = name.rsplit_once('.') else { return false };
            let weight = last == "weight" && tensor.shape.len() > 1;
            // A layer norm, a PReLU or the like behind the stages.
            let scale =
                last == "weight" && features.is_some_and(|features| tensor.shape == [features]);
            if linear.contains(group_of(layer)) {
                weight && tensor.shape.first().copied() == features
            } else {
                weight || scale || last == "running_mean"
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
pub(super) fn features(tensors: &NamedTensors) -> Option<usize> {
    // Pre-activation ends in a batch norm of its own.
    if let Some((_, norm)) = tensors.iter().find(|(name, _)| name == "bn.weight") {
        return norm.shape.first().copied();
    }
    let of_norm = |(name, tensor): &(String, Tensor)| {
        let (stage, rest) = name.strip_prefix("layer")?.split_once('.')?;
        let block = rest.strip_prefix("0.").unwrap_or(rest);
        let norm = block.strip_prefix("bn")?.strip_suffix(".weight")?;
        Some((stage.parse::<usize>().ok()?, norm.parse::<usize>().ok()?, *tensor.shape.first()?))
    };
    tensors.iter().filter_map(of_norm).max().map(|(_, _, channels)| channels)
}
