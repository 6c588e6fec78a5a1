//! Files that PyTorch reads.

use std::io;

use super::{Scalar, Sgd, pickler::Pickler};
use crate::{NamedTensors, Place, Tensor, atomic_write, zip::Writer};

/// The archive's folder; PyTorch takes any.
const FOLDER: &str = "archive";

/// Writes a state dict that `torch.load(weights_only=True)` takes. Equal input gives equal bytes.
///
/// # Errors
/// What the system says, as [`atomic_write`] does, and [`io::ErrorKind::FileTooLarge`] from 4 GB on.
///
/// # Panics
/// If a tensor has not as many values as its shape says.
pub fn write_state_dict<'p>(place: impl Into<Place<'p>>, model: &NamedTensors) -> io::Result<()> {
    let mut storages = Vec::new();
    let mut pickler = Pickler::new();
    state_dict(&mut pickler, model, &mut storages);
    write(place.into(), &pickler.finish(), &storages)
}

/// Writes `{"model": state dict, "optimizer": SGD's state dict, scalars...}`, the optimizer only if
/// there is one, which `torch.load(weights_only=True)` takes. Equal input gives equal bytes.
///
/// # Errors
/// As [`write_state_dict`]; and a scalar of the name `model` or `optimizer` is an
/// [`io::ErrorKind::InvalidInput`].
///
/// # Panics
/// If a tensor has not as many values as its shape says.
pub fn write_checkpoint<'p>(
    place: impl Into<Place<'p>>,
    model: &NamedTensors,
    optimizer: Option<&Sgd>,
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
            sgd(pickler, optimizer, &mut storages);
        }
        for (name, scalar) in scalars {
            pickler.text(name);
            pickler.scalar(scalar);
        }
    });
    write(place.into(), &pickler.finish(), &storages)
}

fn state_dict<'t>(pickler: &mut Pickler, model: &'t NamedTensors, storages: &mut Vec<&'t Tensor>) {
    pickler.ordered_dict(|pickler| {
        for (name, value) in model {
            pickler.text(name);
            tensor(pickler, value, storages);
        }
    });
}

/// What `SGD.state_dict()` says.
fn sgd<'t>(pickler: &mut Pickler, optimizer: &'t Sgd, storages: &mut Vec<&'t Tensor>) {
    pickler.dict(|pickler| {
        pickler.text("state");
        pickler.dict(|pickler| {
            for (index, buffer) in optimizer.momentum.iter().enumerate() {
                if let Some(buffer) = buffer {
                    pickler.int(index as i64);
                    pickler.dict(|pickler| {
                        pickler.text("momentum_buffer");
                        tensor(pickler, buffer, storages);
                    });
                }
            }
        });
        pickler.text("param_groups");
        pickler.list(|pickler| {
            let mut first = 0;
            for group in &optimizer.groups {
                let parameters = first..first + group.parameters;
                first = parameters.end;
                pickler.dict(|pickler| {
                    for (name, value) in [
                        ("lr", group.lr),
                        ("momentum", group.momentum),
                        ("dampening", group.dampening),
                        ("weight_decay", group.weight_decay),
                    ] {
                        pickler.text(name);
                        pickler.float(value);
                    }
                    for (name, value) in [
                        ("nesterov", group.nesterov),
                        ("maximize", false),
                        ("differentiable", false),
                    ] {
                        pickler.text(name);
                        pickler.bool(value);
                    }
                    for name in ["foreach", "fused"] {
                        pickler.text(name);
                        pickler.none();
                    }
                    pickler.text("params");
                    pickler.list(|p| parameters.for_each(|index| p.int(index as i64)));
                });
            }
        });
    });
}

fn tensor<'t>(pickler: &mut Pickler, tensor: &'t Tensor, storages: &mut Vec<&'t Tensor>) {
    let values = tensor.shape.iter().product::<usize>();
    assert_eq!(values, tensor.data.len(), "shape and values disagree");
    pickler.tensor(tensor, storages.len());
    storages.push(tensor);
}

fn write(place: Place<'_>, pickle: &[u8], storages: &[&Tensor]) -> io::Result<()> {
    let entry = |name: &str| format!("{FOLDER}/{name}");
    atomic_write(place, |file| {
        let mut archive = Writer::new(file);
        archive.add_bytes(&entry("data.pkl"), pickle)?;
        archive.add_bytes(&entry(".format_version"), b"1")?;
        archive.add_bytes(&entry(".storage_alignment"), b"64")?;
        archive.add_bytes(&entry("byteorder"), b"little")?;
        for (key, tensor) in storages.iter().enumerate() {
            archive.add(&entry(&format!("data/{key}")), &|out| tensor.data.write(out))?;
        }
        archive.add_bytes(&entry("version"), b"3\n")?;
        // Anything that tells two files apart.
        let id = format!("{:040}", archive.checksum.clone().finalize());
        archive.add_bytes(&entry(".data/serialization_id"), id.as_bytes())?;
        archive.finish()
    })
}
