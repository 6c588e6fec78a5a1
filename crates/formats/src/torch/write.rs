//! Writes files for PyTorch.

use std::io;

use super::{Optimizer, OptimizerGroup, OptimizerRule, Scalar, pickler::Pickler};
use crate::{Destination, NamedTensors, Tensor, atomic_write, zip::Writer};

/// The archive's folder; PyTorch accepts any name.
const FOLDER: &str = "archive";

/// Writes a state dict for `torch.load(weights_only=True)`. Equal input gives equal bytes.
///
/// # Errors
/// As [`atomic_write`], and [`io::ErrorKind::FileTooLarge`] for 4 GB or more.
///
/// # Panics
/// If the number of a tensor's values does not fit its shape.
pub fn write_state_dict<'p>(
    destination: impl Into<Destination<'p>>,
    model: &NamedTensors,
) -> io::Result<()> {
    let mut storages = Vec::new();
    let mut pickler = Pickler::new();
    state_dict(&mut pickler, model, &mut storages);
    write(destination.into(), &pickler.finish(), &storages)
}

/// Writes `{"model": state dict, "optimizer": its state dict, scalars...}` for
/// `torch.load(weights_only=True)`, without `optimizer` if there is none. Equal input gives equal
/// bytes.
///
/// # Errors
/// As [`write_state_dict`], and [`io::ErrorKind::InvalidInput`] if a scalar is called `model` or
/// `optimizer`.
///
/// # Panics
/// If the number of a tensor's values does not fit its shape.
pub fn write_checkpoint<'p>(
    destination: impl Into<Destination<'p>>,
    model: &NamedTensors,
    optimizer: Option<&Optimizer>,
    scalars: &[(String, Scalar)],
) -> io::Result<()> {
    if let Some((name, _)) = scalars.iter().find(|(name, _)| name == "model" || name == "optimizer")
    {
        let why = format!("'{name}' is taken");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut storages = Vec::new();
    let mut pickler = Pickler::new();
    pickler.dict(|pickler| {
        pickler.text("model");
        state_dict(pickler, model, &mut storages);
        if let Some(optimizer) = optimizer {
            pickler.text("optimizer");
            optimizer_state(pickler, optimizer, &mut storages);
        }
        for (name, scalar) in scalars {
            pickler.text(name);
            pickler.scalar(scalar);
        }
    });
    write(destination.into(), &pickler.finish(), &storages)
}

fn state_dict<'t>(pickler: &mut Pickler, model: &'t NamedTensors, storages: &mut Vec<&'t Tensor>) {
    pickler.ordered_dict(|pickler| {
        for (name, value) in model {
            pickler.text(name);
            tensor(pickler, value, storages);
        }
    });
}

/// Writes an optimizer's `state_dict()`.
fn optimizer_state<'t>(
    pickler: &mut Pickler,
    optimizer: &'t Optimizer,
    storages: &mut Vec<&'t Tensor>,
) {
    pickler.dict(|pickler| {
        pickler.text("state");
        pickler.dict(|pickler| {
            let states = optimizer.state.iter().enumerate();
            for (index, state) in states.filter(|(_, state)| !state.is_empty()) {
                pickler.int(index as i64);
                pickler.dict(|pickler| {
                    for (name, value) in state {
                        pickler.text(name);
                        tensor(pickler, value, storages);
                    }
                });
            }
        });
        pickler.text("param_groups");
        pickler.list(|pickler| {
            let mut first = 0;
            for group in &optimizer.groups {
                let parameters = first..first + group.parameters;
                first = parameters.end;
                pickler.dict(|pickler| {
                    hyperparameters(pickler, group);
                    pickler.text("params");
                    pickler.list(|p| parameters.for_each(|index| p.int(index as i64)));
                });
            }
        });
    });
}

fn hyperparameters(pickler: &mut Pickler, group: &OptimizerGroup) {
    let float = |pickler: &mut Pickler, name, value| {
        pickler.text(name);
        pickler.float(value);
    };
    let flag = |pickler: &mut Pickler, name, value| {
        pickler.text(name);
        pickler.bool(value);
    };
    float(pickler, "lr", group.lr);
    match group.rule {
        OptimizerRule::Sgd { momentum, dampening, nesterov } => {
            float(pickler, "momentum", momentum);
            float(pickler, "dampening", dampening);
            float(pickler, "weight_decay", group.weight_decay);
            flag(pickler, "nesterov", nesterov);
        }
        OptimizerRule::AdamW { betas, eps } => {
            pickler.text("betas");
            pickler.tuple(|pickler| betas.iter().for_each(|&beta| pickler.float(beta)));
            float(pickler, "eps", eps);
            float(pickler, "weight_decay", group.weight_decay);
            flag(pickler, "amsgrad", false);
            flag(pickler, "capturable", false);
            flag(pickler, "decoupled_weight_decay", true);
        }
    }
    flag(pickler, "maximize", false);
    flag(pickler, "differentiable", false);
    for name in ["foreach", "fused"] {
        pickler.text(name);
        pickler.none();
    }
}

fn tensor<'t>(pickler: &mut Pickler, tensor: &'t Tensor, storages: &mut Vec<&'t Tensor>) {
    let values = tensor.shape.iter().product::<usize>();
    assert_eq!(values, tensor.data.len(), "shape and values disagree");
    pickler.tensor(tensor, storages.len());
    storages.push(tensor);
}

fn write(destination: Destination<'_>, pickle: &[u8], storages: &[&Tensor]) -> io::Result<()> {
    let entry = |name: &str| format!("{FOLDER}/{name}");
    atomic_write(destination, |file| {
        let mut archive = Writer::new(file);
        archive.add_bytes(&entry("data.pkl"), pickle)?;
        // No `.format_version`: it promises that entries lie where PyTorch's own writer puts them.
        archive.add_bytes(&entry(".storage_alignment"), b"64")?;
        archive.add_bytes(&entry("byteorder"), b"little")?;
        for (key, tensor) in storages.iter().enumerate() {
            archive.add(&entry(&format!("data/{key}")), &|out| tensor.data.write(out))?;
        }
        archive.add_bytes(&entry("version"), b"3\n")?;
        // An id that differs between files.
        let id = format!("{:040}", archive.checksum.clone().finalize());
        archive.add_bytes(&entry(".data/serialization_id"), id.as_bytes())?;
        archive.finish()
    })
}
