//! Weights that a file holds in parts: pruned ones (`torch.nn.utils.prune`) and normalised ones
//! (`torch.nn.utils.weight_norm`).

use std::collections::{HashMap, HashSet};

use resnet_formats::{Data, NamedTensors, Tensor, brief};

/// Replaces the parts of each weight by the weight.
///
/// # Errors
/// A description of a weight that is computed in another way.
pub(super) fn join_parts(tensors: &mut NamedTensors) -> Result<(), String> {
    let names: HashSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let mut parts: HashMap<String, (String, Join)> = HashMap::new();
    for (name, _) in tensors.iter() {
        let other = |why: &str| {
            Err(format!("has a weight '{}' that {why}: save the net without it", brief(name)))
        };
        let (base, second, join) = if let Some(base) = name.strip_suffix("_orig") {
            if !names.contains(format!("{base}_mask").as_str()) {
                return other("a reparametrisation such as spectral_norm computes");
            }
            (base.to_owned(), format!("{base}_mask"), Join::Mask)
        } else if let Some(base) = name.strip_suffix("weight_g") {
            let second = format!("{base}weight_v");
            if !names.contains(second.as_str()) {
                continue;
            }
            (format!("{base}weight"), second, Join::Norm)
        } else if let Some((layer, rest)) = name.split_once(".parametrizations.") {
            match rest.split_once('.') {
                Some((weight, "original0")) => {
                    let second = format!("{layer}.parametrizations.{weight}.original1");
                    (format!("{layer}.{weight}"), second, Join::Norm)
                }
                Some((_, "original1")) => continue,
                _ => return other("torch.nn.utils.parametrizations computes"),
            }
        } else {
            continue;
        };
        parts.insert(second, (base, join));
    }
    if parts.is_empty() {
        return Ok(());
    }
    let mut seconds = HashMap::new();
    let mut rest = NamedTensors::new();
    for (name, tensor) in tensors.drain(..) {
        match parts.remove(&name) {
            Some((base, join)) => drop(seconds.insert(base, (join, tensor))),
            None => rest.push((name, tensor)),
        }
    }
    for (name, tensor) in &mut rest {
        let base = name.strip_suffix("_orig").map(str::to_owned);
        let base = base.or_else(|| Some(name.strip_suffix("weight_g")?.to_owned() + "weight"));
        let base = base.or_else(|| {
            let (layer, rest) = name.split_once(".parametrizations.")?;
            Some(format!("{layer}.{}", rest.strip_suffix(".original0")?))
        });
        let Some((base, (join, second))) = base.and_then(|base| seconds.remove_entry(&base)) else {
            continue;
        };
        let joined = match join {
            Join::Mask => masked(tensor, &second),
            Join::Norm => normed(tensor, &second),
        };
        *tensor = joined.ok_or_else(|| {
            format!("has a weight '{}' whose parts do not fit each other", brief(&base))
        })?;
        *name = base;
    }
    *tensors = rest;
    Ok(())
}

#[derive(Clone, Copy)]
enum Join {
    /// `orig * mask`.
    Mask,
    /// `v * (g / |v|)`, with a norm for each output channel.
    Norm,
}

fn masked(tensor: &Tensor, mask: &Tensor) -> Option<Tensor> {
    let mask: Vec<f32> = match &mask.data {
        Data::F32(mask) => mask.clone(),
        Data::I64(mask) => mask.iter().map(|&m| m as f32).collect(),
    };
    let values = tensor.as_f32().filter(|values| values.len() == mask.len())?;
    let values = values.iter().zip(mask).map(|(value, mask)| value * mask).collect();
    Some(Tensor::f32(&tensor.shape, values))
}

fn normed(g: &Tensor, v: &Tensor) -> Option<Tensor> {
    let (norms, values) = (g.as_f32()?, v.as_f32()?);
    let channels = *v.shape.first()?;
    if norms.len() != channels || g.shape.first() != Some(&channels) || values.is_empty() {
        return None;
    }
    let each = values.len() / channels;
    let channel = |(values, &norm): (&[f32], &f32)| {
        let length: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
        let factor = norm / (length.sqrt() as f32);
        values.iter().map(|x| x * factor).collect::<Vec<_>>()
    };
    let values = values.chunks(each).zip(norms).flat_map(channel).collect();
    Some(Tensor::f32(&v.shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(parts: &[(&str, &[usize], &[f32])]) -> NamedTensors {
        let tensor = |(name, shape, values): &(&str, &[usize], &[f32])| {
            ((*name).to_owned(), Tensor::f32(shape, values.to_vec()))
        };
        parts.iter().map(tensor).collect()
    }

    #[test]
    fn parts_become_a_weight() {
        for (first, second, expected) in [
            (
                ("a.weight_orig", &[2usize][..], [2.0, 3.0]),
                ("a.weight_mask", [0.0, 1.0]),
                [0.0, 3.0],
            ),
            (("a.weight_g", &[1, 1], [10.0, 0.0]), ("a.weight_v", [3.0, 4.0]), [6.0, 8.0]),
            (
                ("a.parametrizations.weight.original0", &[1, 1], [10.0, 0.0]),
                ("a.parametrizations.weight.original1", [3.0, 4.0]),
                [6.0, 8.0],
            ),
        ] {
            let count = if first.1.len() == 2 { 1 } else { 2 };
            let shape = if count == 1 { &[1, 2][..] } else { &[2] };
            let mut found = tensors(&[
                ("b", &[1], &[1.0]),
                (second.0, shape, &second.1),
                (first.0, first.1, &first.2[..count]),
            ]);
            join_parts(&mut found).unwrap();
            assert_eq!(found, tensors(&[("b", &[1], &[1.0]), ("a.weight", shape, &expected)]));
        }
    }

    #[test]
    fn other_computations_are_refused() {
        for name in ["a.weight_orig", "a.parametrizations.weight.original"] {
            let error = join_parts(&mut tensors(&[(name, &[1], &[1.0])])).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        let mut parts =
            tensors(&[("a.weight_orig", &[2], &[1.0, 1.0]), ("a.weight_mask", &[1], &[1.0])]);
        assert!(join_parts(&mut parts).unwrap_err().contains("do not fit"));
    }
}
